"""The dirty log: whatever changes in a guest's RAM between two looks is in it, whoever has written it."""

import pytest
from tests.checkpoint_rig import Plan, requests

from vmio.hypervisor.dirty import DEVICE, HOST, PROCESSOR, DirtyLog
from vmio.modes import Machine, one_guest

PAGE = 4096
MIXED = requests(("read", 8), ("write", 40), ("flush", 0), ("read", 40))
PLANS = {
    "PIO": Plan("emulated", {}, MIXED, within_ns=20_000),
    "DMA": Plan("emulated", {"transfer": "dma"}, MIXED, within_ns=10_000),
    "NVMe in a slot": Plan("emulated", {}, MIXED, device="nvme", within_ns=5_000),
    "split": Plan("split", {}, MIXED),
    "split, two guests": Plan("split", {}, MIXED, guests=2, cores=1),
    "passthrough": Plan("passthrough", {}, MIXED, checkpoints=False, within_ns=5_000),
}


def pages_of(guest):
    """{page: its bytes} of all of a guest's RAM."""
    return {gpa // PAGE + n: guest.host.memory.read(spa + n * PAGE, PAGE)
            for gpa, spa, length in guest.backing.runs() for n in range(length // PAGE)}


def missed(plan, every=7, without=()):
    """(pages that changed without being in the log, all pages that were in it, by way) of a run, looked at every few steps."""
    machine, run = plan.started()
    guests = [each.guest for each in machine.guests]
    logs = [DirtyLog(guest, without) for guest in guests]
    before = [pages_of(guest) for guest in guests]
    lost, seen, steps = set(), {}, 0
    while run.step(plan.within_ns):
        steps += 1
        if steps % every:
            continue
        for n, (guest, log) in enumerate(zip(guests, logs)):
            for way, pages in log.by.items():
                seen[way] = seen.get(way, 0) + len(pages)
            dirty, now = set(log.take()), pages_of(guest)
            lost |= {(guest.name, page) for page, data in now.items() if data != before[n][page] and page not in dirty}
            before[n] = now
    return lost, seen


@pytest.mark.parametrize("name", PLANS)
def test_every_page_that_changes_is_in_the_log(name):
    lost, seen = missed(PLANS[name], every=10)
    assert not lost
    assert seen[PROCESSOR]


@pytest.mark.parametrize("name, way", [("DMA", DEVICE), ("NVMe in a slot", DEVICE), ("split", HOST), ("passthrough", HOST), ("PIO", PROCESSOR)])
def test_a_way_that_is_left_out_loses_pages(name, way):
    lost, seen = missed(PLANS[name], every=10, without=[way])
    assert lost and not seen[way]


def test_reading_clears_and_a_stopped_log_hears_nothing():
    guest = one_guest(ram_mib=1).guest
    log = DirtyLog(guest)
    guest.cpu.store(5 * PAGE - 2, 4, 1)          # over an edge
    window = guest.cpu.window([9, 7])
    window.write(PAGE - 1, b"ab")
    window.store32(8, 1)
    guest.host.memory.write(guest.ram_spa(20 * PAGE), bytes(2 * PAGE + 1))
    assert log.count == 7 and {way: len(pages) for way, pages in log.by.items()} == {PROCESSOR: 4, DEVICE: 0, HOST: 3}
    assert log.take() == [4, 5, 7, 9, 20, 21, 22] and log.take() == []
    log.stop()
    guest.cpu.store(0, 4, 1)
    assert log.take() == [] and guest.memory.stored is None and guest.host.memory.written is None


def test_memory_that_goes_and_comes_back_is_dirty():
    guest = one_guest(ram_mib=1).guest
    guest.cpu.store(8 * PAGE, 4, 77)
    log = DirtyLog(guest)
    guest.take_ram(8 * PAGE, PAGE)
    guest.give_ram(8 * PAGE, PAGE)
    assert log.take() == [8]


def test_another_guests_pages_are_not_in_it():
    machine = Machine()
    guests = [machine.guest(ram_mib=1) for _ in range(2)]
    machine.power_on()
    first, second = (each.guest for each in guests)
    log = DirtyLog(first)
    second.cpu.store(0, 4, 1)
    machine.host.memory.write(second.ram_spa(0), b"x")
    assert not log.count


def test_a_way_that_is_none_is_refused():
    with pytest.raises(ValueError, match="dirty log without 'dma': choose among processor, device, host"):
        DirtyLog(one_guest(ram_mib=1).guest, without=["dma"])
