"""Checkpoints: saved at every step, restored into a fresh machine, a run ends as if nothing had been; or it is refused."""

from functools import lru_cache

import pytest
from tests.checkpoint_rig import Plan, beside_timers, places, requests, saved_and_restored, states, with_a_surprise

from vmio.hypervisor.pending import Saving
from vmio.machine.checkpoint import CheckpointRefused, Form, from_json, plain, same_entries, to_json
from vmio.machine.media.cached import VolatileCache
from vmio.machine.overlay import Overlay
from vmio.machine.storage import Image
from vmio.modes import Machine

MIXED = requests(("read", 8), ("write", 40), ("flush", 0), ("read", 40))
PLANS = {
    "PIO": Plan("emulated", {}, MIXED, within_ns=20_000),
    "PIO, word by word": Plan("emulated", {"string": False}, requests(("write", 8)), within_ns=100_000),
    "DMA": Plan("emulated", {"transfer": "dma"}, MIXED, within_ns=10_000),
    "split": Plan("split", {}, MIXED),
    "split, 32 in flight": Plan("split", {}, requests(*[("read", 8 * n) for n in range(40)], ("write", 8), ("flush", 0), depth=32),
                                only=slice(120, None)),
    "split, two guests, one core": Plan("split", {}, requests(("write", 8), ("read", 8), ("read", 16), depth=2), guests=2, cores=1,
                                        only=slice(0, None, 9)),
    "split, a doorbell in the monitor page": Plan("split", {"doorbell": "monitor"}, requests(("read", 8), ("write", 40), ("read", 40)),
                                                  only=slice(100, None, 2)),
    "split, synthetic timers": Plan("split", {}, beside_timers, only=slice(140, None)),
    "split, polled": Plan("split", {"polled": True}, requests(("read", 8), ("write", 16)), only=slice(0, None, 7)),
    "split, three vCPUs, one channel": Plan("split", {"channels": 1}, requests(("read", 8), ("write", 40), ("read", 40)), vcpus=3,
                                            only=slice(0, None, 5)),
    "split, three vCPUs, three channels": Plan("split", {}, requests(("read", 8), ("write", 40), ("read", 40)), vcpus=3,
                                               only=slice(0, None, 3)),
    "split, four vCPUs, two channels": Plan("split", {"channels": 2, "doorbell": "monitor"}, requests(("read", 8), ("write", 40)), vcpus=4,
                                            cores=1, only=slice(200, None, 6)),
    "NVMe in a slot": Plan("emulated", {}, MIXED, device="nvme", within_ns=5_000),
    "NVMe in a slot, 16 in flight": Plan("emulated", {}, requests(*[("read", 8 * n) for n in range(24)], ("write", 8), ("flush", 0), depth=16),
                                         device="nvme", within_ns=5_000, only=slice(0, None, 3)),
    "two guests, one core": Plan("emulated", {"transfer": "dma"}, MIXED, guests=2, cores=1),
}


@pytest.mark.parametrize("name", PLANS)
def test_saved_and_restored_a_run_ends_as_if_undisturbed(name):
    saved_and_restored(PLANS[name])


def test_what_is_kept_of_a_machine_does_not_grow_with_its_past_but_for_the_answers():
    sizes = []
    for reads in (2, 12):
        state = states(Plan("emulated", {"transfer": "dma"}, requests(*[("read", 8)] * reads)))[0][-1]
        answers = state["run"]["answers"].pop()
        buffers = state["host"]["memory"].pop("runs")
        sizes.append((len(to_json(state)), len(answers["list"]), sum(len(data) for _, data in buffers)))
    (short, few, bytes2), (long, many, bytes12) = sizes
    assert many == few + 10 * 27 and bytes12 == bytes2 + 10 * 4096
    assert long - short < 200       # the same entries, with larger numbers in them


def test_a_limit_of_time_is_kept():
    plan = Plan("emulated", {}, requests(*[("read", 8)] * 6), limit_ns=1_000_000)
    machine, run = plan.started()
    with pytest.raises(Exception, match="still running after 1,000,000 ns") as undisturbed:
        run.to_the_end()
    ended = machine.guests[0].cpu.now
    machine, run = plan.started()
    for _ in range(6):
        run.step(20_000)
    machine, run = plan.restored(machine.save())
    with pytest.raises(type(undisturbed.value), match="still running after 1,000,000 ns"):
        run.to_the_end()
    assert machine.guests[0].cpu.now == ended


# What is refused.

def saved(done=0.2):
    """A state of the DMA run in which so much of all is done; the driver is up at half of it."""
    kept, _ = kept_states()
    return from_json(to_json(kept[int(done * (len(kept) - 1))]))


@lru_cache
def kept_states():
    return states(PLANS["DMA"])


def test_nothing_that_runs_yet():
    machine, _ = PLANS["DMA"].machine()
    with pytest.raises(CheckpointRefused, match="no program has been started"):
        machine.save()


def test_a_program_whose_answers_are_not_kept():
    machine, run = PLANS["DMA"]._replace(checkpoints=False).started()
    run.step()
    with pytest.raises(CheckpointRefused, match=r"at \d+ ns, guest0: its program's answers are not kept .* Machine\(checkpoints=True\)"):
        machine.save()


def test_a_second_program_whose_drivers_remember_the_first():
    machine, run = PLANS["DMA"].started()
    run.to_the_end()
    run = machine.start((machine.guests[0], MIXED(1 << 20)))
    run.step()
    with pytest.raises(CheckpointRefused, match="guest0: it runs its second program"):
        machine.save()


def test_a_request_that_goes_by_pages_of_the_host():
    def odd(data):
        def program(cpu, disk):
            disk.submit("read", 8, 8, data + 1, "odd")
            disk.flush_ring()
            yield from disk.wait()
        return program
    machine, run = Plan("split", {}, odd).started()
    refused = set()
    while run.step():
        try:
            machine.save()
        except CheckpointRefused as error:
            refused.add(str(error).split(": ", 1)[1])
    assert any("goes by pages of the host's" in each for each in refused), refused


def test_answers_that_are_not_the_program_s():
    state = saved(done=0.8)
    answers = state["run"]["answers"][0]["list"]
    number = next(n for n, (instruction, answer) in enumerate(answers) if instruction == "IN 8" and answer)
    answers[number][1] = 0
    with pytest.raises(CheckpointRefused, match="guest0: this program (fails on|is not the saved one)"):
        PLANS["DMA"].restored(state)


def test_a_guest_that_has_failed():
    machine, run = Plan("emulated", {}, lambda data: lambda cpu, disk: disk.nonsense).started()
    while not machine.guests[0].cpu.recorded or run.step() and run._programs[0].triggered is False:
        pass
    with pytest.raises(CheckpointRefused, match="guest guest0 has failed: .*nonsense"):
        machine.save()


def test_a_program_that_has_caught_an_error():
    def program(cpu, disk):
        yield from cpu.hlt(1000)
        try:
            cpu.rdmsr(0x99)
        except Exception:  # noqa: BLE001  the test's own
            yield from cpu.hlt(1000)
    machine, run = Plan("emulated", {}, lambda data: program, within_ns=1_000).started()
    while machine.guests[0].cpu.idle_ns == 0 or run.step(1_000) and not machine.guests[0].cpu.waits:
        run.step(1_000)
    with pytest.raises(CheckpointRefused, match="guest0: RDMSR ended with GuestFault; a program that has caught an error"):
        machine.save()


def test_a_program_that_looks_behind_its_instructions():
    def program(cpu, disk):
        yield from cpu.hlt(cpu.exits.total)
    machine, run = Plan("emulated", {}, lambda data: program).started()
    with pytest.raises(CheckpointRefused, match="has instructions only; cpu.exits is none"):
        run.to_the_end()


@pytest.mark.parametrize("other, what", [
    (requests(("read", 16), ("write", 40), ("flush", 0), ("read", 40)), "is not the saved one"),
    (requests(("write", 8), ("write", 40), ("flush", 0), ("read", 40)), "is not the saved one"),
    (lambda data: lambda cpu, disk: iter(()), "ends where the saved one went on|is not the saved one"),
])
def test_another_program_than_the_saved_one(other, what):
    state = saved(done=0.8)
    with pytest.raises(CheckpointRefused, match=what):
        PLANS["DMA"]._replace(program=other).restored(state)


def test_another_plan():
    for plan, what in ((PLANS["PIO"], "emulated disk, options"), (PLANS["two guests, one core"], "plan"),
                       (PLANS["DMA"]._replace(limit_ns=5), "program of guest0")):
        with pytest.raises(CheckpointRefused, match=f"checkpoint, {what}.*: saved with"):
            plan.restored(saved())


def test_a_machine_that_has_run():
    machine, run = PLANS["DMA"].started()
    state = machine.save()
    run.to_the_end()
    with pytest.raises(CheckpointRefused, match="only a machine that was just switched on"):
        machine.restore(state, (machine.guests[0], MIXED(1 << 20)))


def test_an_entry_that_nobody_knows_is_named_wherever_it_is():
    state = saved(done=0.8)
    found = [path for path, _ in places(state)]
    assert len(found) > 30
    for path in found:
        with pytest.raises(CheckpointRefused, match="surprise"):
            PLANS["DMA"].restored(with_a_surprise(state, path))


def test_a_missing_entry_and_another_version_are_named():
    form = Form("thing", 2, "size", "colour")
    state = form.state(size=1, colour="red")
    assert form.take(state) == {"version": 2, "size": 1, "colour": "red"}
    for changed, what in (({"version": 2, "size": 1}, "no entry 'colour'"), (state | {"version": 3}, "version 3; version 2 can be read"),
                          (state | {"age": 1}, "unknown entry 'age'; it has size, colour"), ([1], "list found")):
        with pytest.raises(CheckpointRefused, match=f"checkpoint, thing: {what}"):
            form.take(changed)
    with pytest.raises(TypeError, match="entries size; the form has size, colour"):
        form.state(size=1)
    with pytest.raises(CheckpointRefused, match="box, lid: unknown entry 'b'"):
        same_entries("box", {"lid": {"a": 1, "b": 2}}, {"lid": {"a": 1}})


def test_a_damaged_state_is_one_sentence():
    state = saved(done=0.8)
    state["guests"][0]["guest"]["vcpus"][0]["rows"][0] = [1]
    with pytest.raises(CheckpointRefused, match="checkpoint: damaged, "):
        PLANS["DMA"].restored(state)


def test_what_waits_and_is_nobody_s_is_refused():
    env = Machine().power_on().host.env
    env.timeout(70).callbacks.append(lambda event: None)
    env.timeout(50)
    with pytest.raises(CheckpointRefused, match="at 0 ns: something waits until 70 ns that no part can save .*lambda"):
        Saving(env).rest()


def test_plain_data_only():
    assert plain((1, b"a", {"x": None}, bytearray(b"b"), True)) == [1, b"a", {"x": None}, b"b", True]
    assert from_json(to_json({"a": [b"\x00\xff", "text", None]})) == {"a": [b"\x00\xff", "text", None]}
    for value, what in ((1.5, "float is no plain data"), ({1: 2}, "the name 1 is no text"), ([object()], "object is no plain data")):
        with pytest.raises(CheckpointRefused, match=what):
            plain(value)


@pytest.mark.parametrize("make", [lambda: Image.open(bytes(4096)), lambda: Overlay(Image.open(bytes(4096))),
                                  lambda: VolatileCache(Overlay(Image.open(bytes(4096))), capacity=2)])
def test_what_was_written_to_a_medium_is_saved(make):
    medium, other = make(), make()
    medium.write(1, b"abcd" * 256)
    medium.discard(2, 1)
    medium.write(5, b"x" * 512)
    other.write(3, b"y" * 512)
    other.take_back(from_json(to_json(plain(medium.saved_sectors()))))
    assert other.read(0, 8) == medium.read(0, 8)
    assert plain(other.saved_sectors()) == plain(medium.saved_sectors())


def test_a_file_of_the_host_is_not_saved(tmp_path):
    (tmp_path / "disk.img").write_bytes(bytes(1024))
    medium = Image.open(tmp_path / "disk.img", writable=True)
    with pytest.raises(CheckpointRefused, match="it keeps what is written somewhere else; use an Overlay over it"):
        medium.saved_sectors()
    medium.close()
