"""Every attack of the catalogue, with the defence on and off: the verdicts are exactly those that it states."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from vmio.__main__ import main
from vmio.attacks import catalogue, report
from vmio.attacks.defence import Stuck, Watchdog, without
from vmio.attacks.emulated import EmulatedWorld
from vmio.attacks.ports import Diskless
from vmio.attacks.split import SplitWorld
from vmio.attacks.verdict import FAIL, PASS, REJECT, SLOWEST, WEDGED, judge
from vmio.attacks.world import CANARY, HOST, World
from vmio.machine.pagetable import READ, WRITE, TranslationFault
from vmio.modes import Machine
from vmio.passthrough.iommu.faults import DmaFault, Reason

ATTACKS = catalogue.attacks()
NOTHING = dict(stopped=None, held={}, slowdown=1.0, changed=[], leaked=[], refused={})


@pytest.mark.parametrize("id", ATTACKS)
def test_defence_on(id):
    outcome = ATTACKS[id].run(True)
    assert outcome.verdict == ATTACKS[id].on_verdict, outcome
    assert outcome.verdict in (PASS, REJECT) and not outcome.crossed and outcome.slowdown < 3


@pytest.mark.parametrize("id", ATTACKS)
def test_defence_off(id):
    outcome = ATTACKS[id].run(False)
    assert outcome.verdict == ATTACKS[id].off_verdict, outcome
    assert outcome.verdict in (FAIL, WEDGED)


def test_the_catalogue_is_complete():
    assert len(ATTACKS) >= 24 and len(ATTACKS) == sum(
        len(__import__(f"vmio.attacks.{s}", fromlist=["ATTACKS"]).ATTACKS) for s in catalogue.SURFACES)
    assert set(catalogue.MODES) == {a.mode for a in ATTACKS.values()}
    assert set(catalogue.SURFACES) == {a.surface for a in ATTACKS.values()}
    for attack in ATTACKS.values():
        assert all(getattr(attack, name) for name in ("title", "rule", "source", "defence")), attack.id


def test_defences_are_back_afterwards():
    attack = ATTACKS["ring-double-fetch"]
    assert [attack.run(defended).verdict for defended in (False, True, False, True)] == [FAIL, PASS, FAIL, PASS]


def test_two_runs_are_equal():
    for id in ("flood-of-signals", "completion-forged"):
        assert ATTACKS[id].run(False) == ATTACKS[id].run(False)


@pytest.mark.parametrize("measured, verdict", [
    ({}, PASS), ({"refused": {"disk": 1}}, REJECT), ({"changed": ["RAM"], "refused": {"disk": 1}}, FAIL),
    ({"leaked": ["RAM"]}, FAIL), ({"slowdown": SLOWEST + 0.1}, WEDGED), ({"slowdown": float(SLOWEST)}, PASS),
    ({"stopped": "IndexError", "slowdown": None, "leaked": ["RAM"]}, WEDGED), ({"held": {"messages": (11, 10)}}, WEDGED),
    ({"held": {"messages": (10, 10)}}, PASS)])
def test_verdicts(measured, verdict):
    assert judge(**{**NOTHING, **measured}).verdict == verdict


# A measuring instrument must show what is there, wherever it is.

@pytest.mark.parametrize("kind", sorted({a.world for a in ATTACKS.values()}, key=lambda kind: kind.__name__))
def test_a_guest_at_rest_has_no_effect(kind):
    def rest(world, cpu):
        yield from world.begin(cpu)
    assert kind().attacked_by(rest)[:3] == (PASS, "no effect", 1.0)


@pytest.mark.parametrize("what", ["RAM", "host", "disk", "leak into RAM", "leak into loot", "leak to disk", "crash", "slow"])
def test_canaries_sing(what):
    def harm(world, cpu):
        yield from world.begin(cpu)
        if what == "RAM":
            world.neighbour.memory.write(CANARY + 12345, b"x")
        elif what == "host":
            world.host.memory.write(world.secret + 8191, b"x")
        elif what == "disk":
            world.theirs.write(255, bytes(512))
        elif what == "leak into RAM":
            cpu.write(0x1234, HOST)
        elif what == "leak into loot":
            world.loot += HOST
        elif what == "leak to disk":
            world.own.write(9, HOST * 32)
        elif what == "crash":
            world.host.env.timeout(10).callbacks.append(lambda _: [][0])
        else:
            def busy():
                yield from world.host.cores.work(100_000_000)
            for _ in range(60):
                world.host.env.process(busy())
    outcome = SplitWorld().attacked_by(harm)
    assert outcome.verdict == (WEDGED if what in ("crash", "slow") else FAIL), outcome


def test_an_attack_that_never_ends_only_costs_itself():
    def forever(world, cpu):
        yield from world.begin(cpu)
        while True:
            yield from cpu.hlt(1_000_000)
    assert World().attacked_by(forever).verdict == PASS


def test_without_puts_back_what_was_there():
    class Base:
        def check(self):
            return "checked"

    class Product(Base):
        pass
    one = Product()
    for owner in (Base, Product, one):
        kept = dict(vars(owner))
        with pytest.raises(KeyError), without(owner, "check", lambda *_: "naive"):
            assert one.check() == "naive"
            raise KeyError
        assert dict(vars(owner)) == kept and one.check() == "checked"


def test_watchdog():
    dog = Watchdog(3)
    for _ in range(3):
        dog.tick()
    with pytest.raises(Stuck):
        dog.tick()


# The command.

def test_command_lists(capsys):
    assert main(["attack", "--list"]) == 0
    text = capsys.readouterr().out
    assert all(id in text for id in ATTACKS)
    assert main(["attack", "--list", "--json"]) == 0
    assert [a["id"] for a in json.loads(capsys.readouterr().out)["attacks"]] == list(ATTACKS)


def test_command_runs_one(capsys):
    assert main(["attack", "--only", "dma-into-neighbour", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["attacks"]
    assert (row["id"], row["on"], row["off"], row["mode"]) == ("dma-into-neighbour", "REJECT", "FAIL", "passthrough")
    assert (row["wall"], row["touched_on"], row["touched_off"]) == (
        "IOMMU domain", [], [{"whose": "neighbour", "what": "RAM", "how": "changed"}])
    assert main(["attack", "--only", "edge-read"]) == 0
    assert "edge-read" in capsys.readouterr().out


def test_command_knows_its_attacks(capsys):
    assert main(["attack", "--only", "no-such"]) == 2
    assert "no-such" in capsys.readouterr().err


def test_a_defence_that_does_not_hold_is_an_exit_status(monkeypatch, capsys):
    attack = ATTACKS["edge-read"]
    monkeypatch.setattr(report, "run", lambda only, kept: [report.Row(attack, attack.run(False), attack.run(False))])
    assert main(["attack", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["holds"] is False


def test_attacks_need_no_notebook():
    code = "import sys, vmio.attacks.report as r; r.listing(); print([m for m in ('matplotlib', 'ipywidgets') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_surfaces_and_modes_are_spread():
    modes = Counter(a.mode for a in ATTACKS.values())
    assert min(modes.values()) >= 5


@pytest.mark.parametrize("fault", [TranslationFault(0x5000, WRITE, True), DmaFault(0x18, 0x5000, READ, Reason.READ)])
def test_a_fault_keeps_its_words_on_the_way_out_of_the_simulation(fault):
    def raises():
        raise fault
        yield
    host = Machine(memory_mib=64).host
    host.env.process(raises())
    with pytest.raises(type(fault), match="at 0x5000: not") as caught:
        host.env.run()
    assert str(caught.value) == str(fault) and vars(caught.value).items() >= vars(fault).items()


def test_who_reaches_for_a_foreign_disk_has_none_of_its_own():
    assert EmulatedWorld().board.ata
    with pytest.raises(ValueError, match="guest attacker: no board"):
        Diskless().board.ata
