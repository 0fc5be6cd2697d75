"""Measured prices, and small programs in both worlds: counts by rule, recorded and, where KVM is usable, live.

All but the tests marked `on_kvm` run on every host.
"""

import json
import os
import subprocess
import sys
from random import Random

import pytest

from vmio.hypervisor import costs
from vmio.hypervisor.costs import MEASURED, PRESETS, CostModel
from vmio.processors.kvm import probe, recorded, steps
from vmio.processors.kvm.programs import ALL

USABLE, REASON = probe.usable()
on_kvm = pytest.mark.skipif(not USABLE, reason=f"NOT RUN ON REAL HARDWARE: {REASON}")
ROWS = {"CPUID": 1000, "doorbell (ioeventfd), port": 1500, "doorbell (ioeventfd), memory": 2500, "MMIO write": 9500.4}


@pytest.fixture
def presets(monkeypatch):
    """Whatever a test offers is gone afterwards."""
    monkeypatch.setattr(costs, "PRESETS", dict(PRESETS))
    monkeypatch.setattr(costs, "_offered", {})
    return costs


def test_four_rows_are_the_four_rungs():
    model = CostModel.measured(ROWS)
    assert (model.hypercall_ns, model.lookup_ns, model.emulate_ns, model.user_space_ns) == (1000, 500, 1000, 7000)
    assert model.access_ns("worker", True) == 9500 and model.access_ns("hypervisor", False) == 1500
    assert model.wakeup_ns == CostModel.preset().wakeup_ns


def test_a_rung_below_the_one_before_is_level_with_it():
    model = CostModel.measured({**ROWS, "doorbell (ioeventfd), memory": 1400})
    assert model.emulate_ns == 0 and model.access_ns("worker", True) == 9500


def test_a_missing_row_is_named():
    with pytest.raises(ValueError, match="no CPUID among MMIO write"):
        CostModel.measured({"MMIO write": 1, "doorbell (ioeventfd), port": 1, "doorbell (ioeventfd), memory": 1})


def test_the_recorded_preset_comes_from_the_file_and_says_so():
    rows = {row["name"]: row["low"] for row in costs.recorded()["exits"]}
    model = CostModel.preset("kvm-recorded")
    assert model.name == "kvm-recorded" and model == CostModel.measured()
    assert model.access_ns("worker", True) == pytest.approx(rows["MMIO write"], abs=2)
    sources = {name: source for name, _, _, source in model.table_rows()}
    assert sources["hypercall_ns"] == "CPUID, measured on the host of data/kvm-recorded.json"
    assert sources["user_space_ns"].startswith("MMIO write - doorbell (ioeventfd), memory")
    assert sources["disk_read_ns"] == {name: source for name, _, _, source in CostModel.preset().table_rows()}["disk_read_ns"]


def test_a_measured_model_can_be_chosen_by_name_once_it_is_offered(presets):
    with pytest.raises(ValueError, match="this-host"):
        CostModel.preset("this-host")
    model = CostModel.measured(ROWS, "this-host")
    model.offer("this host (a CPU)")
    assert CostModel.preset("this-host") is model and list(presets.PRESETS)[-1] == "this-host"
    assert model.table_rows()[0] == ("hypercall_ns", 1000, "ns", "CPUID, measured on this host (a CPU)")
    model.offer("this host (a CPU)")
    with pytest.raises(ValueError, match="other prices"):
        CostModel.measured({**ROWS, "CPUID": 7}, "this-host").offer("elsewhere")
    with pytest.raises(ValueError, match="other prices"):
        CostModel.measured(ROWS, "server-2022").offer("a disguise")


def random_programs():
    random = Random(9)
    kinds = [lambda: (random.choice(("outb", "outw", "outl")), steps.PORT),
             lambda: (random.choice(("inb", "inw", "inl")), steps.PORT),
             lambda: (random.choice(("outsb", "outsw", "outsl")), steps.PORT, random.randrange(1, 60)),
             lambda: (random.choice(("insb", "insw", "insl")), steps.PORT, random.randrange(1, 3000)),
             lambda: (random.choice(("load", "store")), random.choice(
                 (steps.RAM, steps.RAM_BYTES - 4, steps.ROM, steps.ROM + 4092, steps.BAR, steps.NOWHERE, 0xD000_0000))),
             lambda: ("store", random.choice((steps.RING, steps.DOORBELL))), lambda: ("outb", steps.BELL_PORT),
             lambda: ("cpuid",)]
    return [[random.choice(kinds)() for _ in range(40)] for _ in range(6)] + [[("store", steps.RING)] * 400]


def test_the_model_makes_every_exit_and_the_rules_say_which_are_seen():
    assert {kind: (steps.on_model(make(64)).exits, len(steps.expected(make(64)).exits), steps.expected(make(64)).rings)
            for kind, make in steps.KINDS.items()} == {
        "OUT": (64, 64, 0), "IN": (64, 64, 0), "REP OUTSB": (1, 64, 0), "REP INSB": (1, 1, 0),
        "MMIO write": (64, 64, 0), "MMIO read": (64, 64, 0), "write to RAM": (0, 0, 0), "write to a mapped BAR": (0, 0, 0),
        "write to a read-only slot": (64, 64, 0), "read of a read-only slot": (0, 0, 0),
        "doorbell (ioeventfd), port": (64, 0, 64), "doorbell (ioeventfd), memory": (64, 0, 64),
        "coalesced write": (64, 0, 0), "CPUID": (64, 0, 0)}
    assert len(steps.expected(steps.KINDS["coalesced write"](512)).exits) == 3
    assert len(steps.expected(steps.KINDS["REP INSB"](4096)).exits) == 4
    for kind, make in steps.KINDS.items():
        equal = steps.on_model(make(64)).exits == len(steps.expected(make(64)).exits)
        assert equal or kind in steps.WHY


def test_an_unknown_instruction_is_refused():
    with pytest.raises(ValueError, match="'jmp'"):
        steps.compiled([("jmp", 0)])


@on_kvm
def test_programs_at_random_make_the_exits_that_the_rules_say():
    with steps.Rig() as rig:
        for program in random_programs():
            seen, rule = rig.run(steps.compiled(program)), steps.expected(program)
            assert seen.exits == rule.exits and seen.rings == rule.rings


@on_kvm
def test_what_was_recorded_is_what_happens_here():
    """If the programs changed: python -m vmio.processors.kvm.recorded."""
    kept = costs.recorded()
    for kind in steps.KINDS:
        for n in (1, 64, 512):
            assert list(recorded.counts(kind, n)) == kept["counts"][kind][str(n)], (kind, n)
    for name in ALL:
        now = recorded.replay(name)
        assert {key: now[key] for key in kept["replays"][name]} == kept["replays"][name], name


def test_recorded_counts_are_those_of_the_rules():
    kept = costs.recorded()
    assert set(kept["replays"]) == set(ALL) and set(kept["counts"]) == set(steps.KINDS)
    assert set(MEASURED) <= {row["name"] for row in kept["exits"]} and kept["host"]["cpu"]
    for kind, make in steps.KINDS.items():
        for n, (exits, rings) in kept["counts"][kind].items():
            rule = steps.expected(make(int(n)))
            assert (exits, rings) == (len(rule.exits), rule.rings)
    for name, case in ALL.items():
        assert kept["replays"][name]["differences"] == [] and kept["replays"][name]["model"] == dict(case.record().exits)


def test_with_kvm_hidden_the_same_questions_are_answered_from_the_record():
    script = ("import json; from vmio.processors.kvm import recorded as r; from vmio.hypervisor.costs import PRESETS\n"
              "print(json.dumps([r.live(), r.counts('REP OUTSB', 8), r.replay('uart')['kvm'], r.times()[0], "
              "r.offer_this_host(), 'this-host' in PRESETS]))")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True,
                          env={**os.environ, "VMIO_KVM": "/nonexistent"})
    (works, reason), counts, kvm, host, model, offered = json.loads(done.stdout)
    assert not works and reason and counts == [8, 0] and kvm == costs.recorded()["replays"]["uart"]["kvm"]
    assert host == costs.recorded()["host"] and model is None and not offered
