"""Kinds of host: what they count beside a guest's own instructions, in a lesson's table and in every disk workload."""

import json

import pytest

from vmio.__main__ import main
from vmio.experiments import disk, params, stops
from vmio.experiments.disk import DiskParams
from vmio.experiments.stops import SITUATIONS, StopParams

TOUCH, COMPUTE, SHARE, SLEEP = SITUATIONS


@pytest.mark.parametrize("situation, exits", [
    (TOUCH, [{}, {"EPT_VIOLATION RAM": 64}, {"EPT_VIOLATION RAM": 64}]),
    (COMPUTE, [{}, {}, {"EXTERNAL_INTERRUPT host timer": 2}]),
    (SHARE, [{"EXTERNAL_INTERRUPT host scheduler": 100}, {"EXTERNAL_INTERRUPT host scheduler": 100},
             {"EXTERNAL_INTERRUPT host scheduler": 100, "EXTERNAL_INTERRUPT host timer": 2}]),
    (SLEEP, [{"HLT hypervisor": 1, "WRMSR hypervisor": 1}] * 3)])
def test_what_stops_a_guest_by_kind_of_host(situation, exits):
    assert [{f"{reason} {whose}": count for (reason, whose, _), count in stops.run(StopParams(situation, kind)).items()}
            for kind in ("hyper-v", "hyper-v-containers", "kvm")] == exits


def test_situations_that_there_are_not():
    with pytest.raises(ValueError, match="host 'xen': choose one of hyper-v, hyper-v-containers, kvm"):
        stops.run(StopParams(host="xen"))


OWN = {"emulated": {"IO_INSTRUCTION": 304, "HLT": 16}, "split": {"HLT": 16, "VMCALL": 16}, "passthrough": {"HLT": 16}}


@pytest.mark.parametrize("mode, options, touches", [
    ("emulated", {"transfer": "dma"}, 2),         # the buffer, and the table for the bus master
    ("split", {}, 1), ("split", {"queue_depth": 8}, 8), ("passthrough", {}, 0)])
def test_a_buffer_is_touched_once_however_often_it_is_used(mode, options, touches):
    reads = {kind: disk.run(DiskParams(mode=mode, bytes=65_536, host=kind, **options)) for kind in ("hyper-v", "kvm", "hyper-v-containers")}
    own = reads["hyper-v"].exits
    assert own == OWN[mode] or "queue_depth" in options
    for kind in ("kvm", "hyper-v-containers"):
        assert reads[kind].exits == {**own, **({"EPT_VIOLATION": touches} if touches else {})}
        assert reads[kind].exits_by_device.get("RAM", 0) == touches
        assert reads[kind].sha256 == reads["hyper-v"].sha256
    assert reads["kvm"].virtual_ns == reads["hyper-v"].virtual_ns + touches * 9200


def test_guests_that_share_a_core_lose_it():
    alone, shared = (disk.run(DiskParams(mode="split", bytes=1 << 20, guests=4, polled=True, host_cores=cores)) for cores in (16, 1))
    assert set(alone.exits) == {"VMCALL"} and shared.exits["EXTERNAL_INTERRUPT"] > 0
    assert shared.exits_by_device["host scheduler"] == shared.exits["EXTERNAL_INTERRUPT"] and shared.sha256 == alone.sha256


@pytest.mark.parametrize("options, words", [
    (("--mode", "passthrough", "--backing", "demand"), "backing demand: not in passthrough, where the device may write to any page"),
    (("--tick-hz", "20000"), "tick_hz 20000: 0 to 10,000"), (("--tick-hz", "-1"), "tick_hz -1: 0 to 10,000")])
def test_what_no_host_does_is_refused(options, words, capsys):
    assert main(["run", *options]) == 2
    assert capsys.readouterr().err.startswith(f"vmio run: {words}")


def test_a_guest_with_a_device_of_its_own_is_pinned_on_a_host_that_backs_on_demand():
    kvm = disk.run(DiskParams(mode="passthrough", bytes=65_536, host="kvm"))
    assert kvm.exits == {"HLT": 16} and kvm.setup_exits == disk.run(DiskParams(mode="passthrough", bytes=65_536)).setup_exits


def test_the_command_line_has_the_hosts_properties(capsys):
    assert main(["run", "--mode", "split", "--bytes", "65536", "--host", "kvm", "--backing", "start", "--tick-hz", "100", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["params"]["host"], told["params"]["backing"], told["params"]["tick_hz"]) == ("kvm", "start", 100)
    assert told["exits"] == {"HLT": 16, "VMCALL": 16}
    properties = params.schema(DiskParams, "")["properties"]
    assert properties["tick_hz"] == {"type": ["integer", "null"], "default": None, "minimum": 0, "maximum": 10_000, "unit": "Hz",
                                     "description": "the host's own timer, which stops whoever is in a guest; 0 for none"}
    assert properties["backing"]["type"] == ["string", "null"] and properties["backing"]["enum"] == ["demand", "start", "pinned", None]
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "(default by --host)" in " ".join(capsys.readouterr().out.split())


def test_a_guest_that_polls_meets_every_tick_and_one_that_sleeps_hardly_any():
    polled, asleep = (disk.run(DiskParams(mode="passthrough", bytes=1 << 20, tick_hz=1000, polled=how)) for how in (True, False))
    ticks = polled.virtual_ns // 1_000_000
    assert ticks <= polled.exits_by_device["host timer"] <= ticks + 1
    assert polled.exits == {"EXTERNAL_INTERRUPT": polled.exits_by_device["host timer"]}
    assert asleep.virtual_ns > polled.virtual_ns and asleep.exits_by_device.get("host timer", 0) <= ticks // 10


@pytest.mark.parametrize("options", [{"mode": "split", "polled": True}, {"mode": "passthrough", "queue_depth": 8}, {"transfer": "dma"}, {}], ids=str)
@pytest.mark.parametrize("cores", [1, 2])
def test_every_nanosecond_of_a_guest_that_is_stopped_has_a_place(options, cores):
    result = disk.run(DiskParams(bytes=1 << 17, host="kvm", tick_hz=1000, guests=3, host_cores=cores, **options))
    assert all(ns >= 0 for ns in result.parts.values())
    assert result.parts["exit"] + result.parts["copy"] >= result.exit_ns > 0 and all(result.canaries.values())
