"""Whole workloads in split mode: the same bytes as emulated mode on every trace, fewer exits, rings that add up."""

import json
from dataclasses import replace

import pytest

from vmio import data
from vmio.__main__ import main
from vmio.experiments import disk, trace
from vmio.experiments.disk import DiskParams
from vmio.experiments.hot_cores import run_hot_cores
from vmio.modes import attachment

ALL = ("to the host", "to the guest")


@pytest.mark.parametrize("options", [
    {}, {"queue_depth": 32}, {"queue_depth": 8, "ring_kib": 8, "batch": 1, "host_cores": 1, "signals": "each"},
    {"queue_depth": 1024, "batch": 64, "signals": "always", "host_cores": 8}], ids=lambda o: "-".join(map(str, o.values())))
def test_every_trace_gives_the_same_bytes_in_both_modes(options, emulated, image):
    requests, other = emulated
    result = disk.run(DiskParams(mode="split", **options), requests, image)
    assert (result.sha256, result.requests, result.bytes, result.bytes_read) == \
        (other.sha256, other.requests, other.bytes, other.bytes_read)
    assert result.images[0].read(0, image.sectors) == other.images[0].read(0, image.sectors)
    assert result.exits_total < other.exits_total / 2
    assert result.exits["VMCALL"] == result.signals
    for name in ALL:
        steps = result.rings[name]
        assert steps[0] == (0, 0) and steps[-1][1] == 0
        assert all(0 <= used < (result.params.ring_kib - 4) * 1024 for _, used in steps)
        assert all(one[0] <= other[0] for one, other in zip(steps, steps[1:]))


def test_one_request_at_a_time_costs_two_exits():
    """The signal and HLT: 2, where bus-master DMA takes 20.  An unmodified Linux needs as many on such a host."""
    one = disk.run(DiskParams(mode="split", bytes=4096))
    ten = disk.run(DiskParams(mode="split", bytes=40_960))
    assert one.exits == {"HLT": 1, "VMCALL": 1} and ten.exits_total == 20
    assert (ten.signals, ten.interrupts) == (10, 10)
    assert ten.exit_ns + ten.guest_ns + ten.device_ns == ten.virtual_ns


@pytest.mark.parametrize("options, exits, interrupts", [
    (dict(apic="emulated"), {"HLT": 16, "VMCALL": 16}, 16), (dict(polled=True), {"VMCALL": 16}, 0),
    (dict(apic="emulated", polled=True), {"VMCALL": 16}, 0), ({}, {"HLT": 16, "VMCALL": 16}, 16)])
def test_no_end_of_interrupt_exits_and_who_polls_is_neither_halted_nor_told(options, exits, interrupts):
    """The processor ends it, or AutoEOI does."""
    results = [disk.run(DiskParams(mode="split", bytes=65_536, **more)) for more in ({}, options)]
    assert (results[1].exits, results[1].interrupts, results[1].signals) == (exits, interrupts, 16)
    assert len({one.sha256 for one in results}) == 1
    assert (results[1].virtual_ns < results[0].virtual_ns) == bool(options.get("polled"))


def test_a_vcpu_that_runs_is_stopped_where_the_apic_is_emulated():
    virtual, emulated = (disk.run(DiskParams(mode="split", bytes=1 << 20, queue_depth=32, batch=1, apic=apic))
                         for apic in ("virtualized", "emulated"))
    assert set(virtual.exits) <= {"HLT", "VMCALL"} and emulated.exits["EXTERNAL_INTERRUPT"] > 0
    assert virtual.sha256 == emulated.sha256


def test_polling_with_many_in_flight():
    """Who polls is neither halted nor told; with a core for each vCPU and worker it is never stopped, with fewer it loses its own."""
    slept, polled, crowded = (disk.run(DiskParams(mode="split", bytes=1 << 20, queue_depth=32, guests=2, polled=how, host_cores=cores))
                              for how, cores in ((False, 2), (True, 4), (True, 2)))
    assert slept.sha256 == polled.sha256 == crowded.sha256 and polled.interrupts == crowded.interrupts == 0
    assert polled.exits == {"VMCALL": 30} and crowded.exits == {"VMCALL": 30, "EXTERNAL_INTERRUPT": 9}


def test_interrupts_of_a_mode_that_has_none_to_post(capsys):
    assert main(["run", "--interrupts", "posted", "--bytes", "4096"]) == 2
    assert "--interrupts posted: not in this mode, emulated" in capsys.readouterr().err


def test_in_flight_means_fewer_signals_and_less_time():
    slow = disk.run(DiskParams(mode="split", bytes=1 << 20))
    fast = disk.run(DiskParams(mode="split", bytes=1 << 20, queue_depth=32))
    assert fast.signals < slow.signals / 4 and fast.virtual_ns < slow.virtual_ns / 8
    assert max(used for _, used in fast.rings["to the host"]) > 8 * max(used for _, used in slow.rings["to the host"])


def test_signals_follow_the_policy():
    signals = [disk.run(DiskParams(mode="split", bytes=1 << 20, queue_depth=32, signals=policy)).signals
               for policy in ("always", "each", "batch")]
    assert signals[0] == 256 > 8 * max(signals[1:])


@pytest.mark.parametrize("polled", (False, True))
@pytest.mark.parametrize("depth", (1, 8, 32))
def test_a_doorbell_in_memory_costs_no_exit_but_time(depth, polled):
    """The same reads, signalled as often; the hypercalls are gone, and the host comes later."""
    by_call, by_bit = (disk.run(DiskParams(mode="split", bytes=1 << 20, queue_depth=depth, polled=polled, doorbell=doorbell))
                       for doorbell in ("hypercall", "monitor"))
    assert by_call.sha256 == by_bit.sha256 and by_call.exits_by_instruction["VMCALL"] == by_call.signals > 0
    assert "VMCALL" not in by_bit.exits_by_instruction and by_bit.exits_total == by_bit.exits_by_instruction.get("HLT", 0)
    assert 0 < by_bit.signals <= by_call.signals
    assert by_call.virtual_ns < by_bit.virtual_ns <= by_call.virtual_ns + 100_000 * by_bit.signals


def test_doorbells_that_are_none():
    with pytest.raises(ValueError, match="doorbell 'bell': choose one of hypercall, monitor"):
        disk.run(DiskParams(mode="split", doorbell="bell"))
    with pytest.raises(ValueError, match="doorbell 'bell': choose one of hypercall, monitor"):
        attachment("disk", "split", doorbell="bell")


@pytest.mark.parametrize("signals", ("each", "batch"))
def test_more_cores_let_guests_and_workers_overlap(signals):
    """With one core they take turns, and each waits for the others' share."""
    one, two, four = (disk.run(DiskParams(mode="split", bytes=1 << 20, queue_depth=32, guests=4, host_cores=cores,
                                          signals=signals)) for cores in (1, 2, 4))
    assert one.sha256 == two.sha256 == four.sha256
    assert one.virtual_ns > two.virtual_ns > four.virtual_ns


def test_cores_come_and_go_in_mid_run():
    """What the guests read per millisecond follows the cores; not a byte is lost, repeated or out of place."""
    params = DiskParams(guests=8, queue_depth=32, block=512, bytes=1408 << 10, host_cores=1)
    run = run_hot_cores(params, (1, 2, 4, 2, 1), ns=2_000_000)
    one, two, four, two_again, one_again = run.rates()
    assert two == pytest.approx(1.9 * one, rel=0.1) and four > 1.3 * two
    assert (two_again, one_again) == (pytest.approx(two, rel=0.1), pytest.approx(one, rel=0.1))
    still = disk.run(replace(params, mode="split"))
    assert run.result.sha256 == still.sha256 and run.result.bytes_read == still.bytes_read == 8 * params.bytes
    assert four < 1.1 * run_hot_cores(params, (8,)).rates()[0]
    assert "6 to 8 ms" in run.table()
    assert len(run_hot_cores(replace(params, bytes=64 << 10), (1, 2, 1)).stretches) < 3     # the guests end before


@pytest.mark.parametrize("cores", (0, 257))
def test_numbers_of_cores_are_checked_before_anything_runs(cores):
    with pytest.raises(ValueError, match=f"host_cores {cores}"):
        run_hot_cores(DiskParams(), (2, cores))


def test_two_runs_are_the_same_run(image):
    requests = trace.load(data.path("traces/untar.csv"))
    params = DiskParams(mode="split", guests=3, queue_depth=8)
    assert disk.run(params, requests, image) == disk.run(params, requests, image)


def test_guests_have_disks_of_their_own():
    requests = [trace.Request("W", 8, 8), trace.Request("F", 0, 0), trace.Request("R", 0, 16)]
    split, emulated = (disk.run(DiskParams(mode=mode, guests=4, queue_depth=4), requests) for mode in ("split", "emulated"))
    assert split.sha256 == emulated.sha256 and split.requests == 12
    assert all(one.read(8)[:8] == bytes(8) for one in split.images)


@pytest.mark.parametrize("requests", [
    [("W", 0, 8), ("R", 0, 8), ("W", 4, 8), ("R", 0, 16), ("W", 0, 16), ("W", 0, 1), ("R", 0, 1)] * 8,
    [("W", n % 3, 4) for n in range(40)] + [("F", 0, 0), ("R", 0, 8)],
    [("R", 0, 2048), ("W", 1024, 2048), ("R", 1024, 2048), ("F", 0, 0), ("F", 0, 0)] * 3])
def test_requests_that_meet_keep_their_order(requests):
    requests = [trace.Request(*one) for one in requests]
    split = disk.run(DiskParams(mode="split", queue_depth=64, batch=3), requests)
    emulated = disk.run(DiskParams(transfer="dma"), requests)
    assert split.sha256 == emulated.sha256
    assert split.images[0].read(0, split.images[0].sectors) == emulated.images[0].read(0, split.images[0].sectors)


@pytest.mark.parametrize("requests", [[], [trace.Request("F", 0, 0)]])
def test_little_to_do(requests):
    result = disk.run(DiskParams(mode="split", queue_depth=8), requests)
    assert result.bytes == 0 and result.requests == len(requests)


@pytest.mark.parametrize("bad", [dict(ring_kib=4), dict(ring_kib=10), dict(ring_kib=8192), dict(batch=0),
                                 dict(host_cores=0), dict(signals="loud"), dict(queue_depth=2000)])
def test_parameters_are_checked_at_the_door(bad):
    (name, value), = bad.items()
    with pytest.raises(ValueError, match=f"{name} .*{value}"):
        disk.run(DiskParams(mode="split", **bad))


def test_the_command(capsys):
    assert main(["run", "--mode", "split", "--bytes", "65536", "--queue-depth", "4", "--ring-kib", "16", "--batch", "2",
                 "--host-cores", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) >= {"exits", "exits_total", "requests", "bytes", "sha256", "virtual_ns", "signals", "interrupts"}
    assert result["requests"] == 16 and result["signals"] > 0 and result["params"]["ring_kib"] == 16
    assert main(["run", "--mode", "split", "--bytes", "65536"]) == 0
    assert "signals to the host" in capsys.readouterr().out
    assert main(["run", "--mode", "split", "--ring-kib", "6"]) == 2


def test_only_the_first_guests_rings_are_watched_and_everybodys_signals_are_counted():
    _, _, host, runs = disk.machine(DiskParams(mode="split", bytes=8 * 4096, guests=2))
    host.run(*[(run.cpu, run.program) for run in runs])
    first, second = (run.disk.end for run in runs)
    assert [end.moved is not None for end in (first.outgoing, first.incoming, second.outgoing, second.incoming)] == [
        True, True, False, False]
    assert [bool(run.rings) for run in runs] == [True, False] and [run.signals for run in runs] == [8, 8]
