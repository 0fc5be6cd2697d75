"""RAM as runs of pages: it need not lie in a row, and it may go and come back while the guest runs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmio.experiments.disk import pattern
from vmio.machine.memory import PAGE, HostMemory, OutOfMemory
from vmio.machine.overlay import Overlay
from vmio.machine.pagetable import TranslationFault
from vmio.modes import Machine, attachment, one_guest

MIB = 1 << 20


def scattered(host, pages=2048):
    """Leave `host` only single pages: every second one of a large run stays taken."""
    first = host.memory.allocate(pages)
    rest = host.memory.free_pages
    host.memory.allocate(rest)
    for page in range(0, pages, 2):
        host.memory.free(first + page * PAGE, 1)
    return host


def test_what_came_back_is_joined_and_used_again():
    memory = HostMemory(64 * PAGE)
    at = memory.allocate(8)
    total = memory.free_pages
    for page in (1, 3, 2):
        memory.free(at + page * PAGE, 1)
    assert memory.free_pages == total + 3 and memory.allocate(3) == at + PAGE
    memory.free(at, 8)
    assert memory.allocate(4, align=4) == 4 * PAGE and memory.allocate(8, align=8) == 16 * PAGE
    assert memory.allocate(3) == PAGE                      # what the aligned one left before it


def test_memory_is_zero_again_for_the_next_owner():
    memory = HostMemory(16 * PAGE)
    at = memory.allocate(2)
    memory.write(at, b"secret" * 100)
    memory.free(at, 2)
    assert memory.allocate(2) == at and memory.read(at, 2 * PAGE) == bytes(2 * PAGE)


def test_a_guest_of_single_pages_works_like_any_other():
    host = scattered(Machine(memory_mib=16).host)
    guest = host.guest("g", 1)
    runs = guest.backing.runs()
    assert len(runs) == 256 and {length for _, _, length in runs} == {PAGE}
    guest.memory.write(PAGE - 3, b"across")
    assert guest.memory.read(PAGE - 3, 6) == b"across"
    assert guest.ram_spa(PAGE) - guest.ram_spa(0) == 2 * PAGE
    free = host.memory.free_pages
    guest.destroy()
    assert host.memory.free_pages == free + 256 + 4      # RAM, and the SLAT's tables


@pytest.mark.parametrize("mode, options", [("emulated", {"transfer": "dma"}), ("split", {}), ("passthrough", {}),
                                           ("passthrough", {"iommu": "strict"})])
def test_every_mode_reads_into_ram_that_lies_in_pieces(mode, options):
    machine = Machine()
    guest = machine.guest("g", attachment("disk", mode, **options), Overlay(pattern(1)), ram_mib=18)
    machine.power_on()
    for start in range(0, 18 * MIB, 64 << 10):       # each piece moves elsewhere, before anybody knows where it was
        if mode != "passthrough" and start >= 16 * MIB:
            guest.guest.take_ram(start, 64 << 10)
            machine.host.memory.allocate(1)
            guest.guest.give_ram(start, 64 << 10)
    at = 17 * MIB - 2 * PAGE

    def program(cpu, disk):
        disk.submit("read", 0, 256, at, "big")
        disk.flush_ring()
        done = []
        while not done:
            yield from disk.wait()
            done = disk.reap()
        return done, cpu.read(at, 256 * 512)
    (done, data), = machine.run((guest, program))
    assert done == [("big", None)] and data == pattern(1).read(0, 256)
    if mode != "passthrough":
        assert len(guest.guest.backing.runs(16 * MIB)) > 8


def test_what_was_taken_is_not_there():
    host = Machine(memory_mib=32).host
    guest, free = host.guest("g", 4), None
    guest.cpu.write(2 * MIB, b"mine")
    free = host.memory.free_pages
    guest.take_ram(2 * MIB, MIB)
    assert host.memory.free_pages >= free + 255          # a large page was split: one table more
    with pytest.raises(TranslationFault):
        guest.memory.read(2 * MIB, 4)
    with pytest.raises(ValueError, match="no RAM at 0x200000, it ends at 0x400000 and was taken away there"):
        guest.ram_spa(2 * MIB)
    assert guest.missing_ram() == 2 * MIB and guest.backing.bytes == 3 * MIB
    guest.give_ram(2 * MIB, MIB)
    assert guest.memory.read(2 * MIB, 4) == bytes(4) and guest.missing_ram() is None


@pytest.mark.parametrize("at, length, words", [
    (PAGE + 1, PAGE, "multiples of 4096 below 0x400000"), (0, 0, "multiples of 4096"), (-PAGE, PAGE, "multiples of 4096"),
    (4 * MIB, PAGE, "below 0x400000"), (3 * MIB, 2 * MIB, "below 0x400000")])
def test_nonsense_is_refused_and_changes_nothing(at, length, words):
    guest = one_guest(name="g", ram_mib=4).guest
    before = guest.backing.runs()
    for change in (guest.take_ram, guest.give_ram):
        with pytest.raises(ValueError, match=words):
            change(at, length)
    assert guest.backing.runs() == before


def test_twice_is_refused():
    guest = one_guest(name="g", ram_mib=4).guest
    with pytest.raises(ValueError, match="some of it is there already"):
        guest.give_ram(0, PAGE)
    guest.take_ram(0, PAGE)
    with pytest.raises(ValueError, match="not all of it is there"):
        guest.take_ram(0, 2 * PAGE)


def test_no_memory_leaves_the_guest_with_what_it_had():
    host = Machine(memory_mib=16).host
    guest = host.guest("g", 4)
    guest.take_ram(MIB, MIB)
    host.memory.allocate(128)
    while host.memory.free_pages > 100:
        host.memory.allocate(1)
    before = guest.backing.runs()
    with pytest.raises(OutOfMemory):
        guest.give_ram(MIB, MIB)
    assert guest.backing.runs() == before and host.memory.free_pages == 100


def test_a_guest_with_an_assigned_device_loses_nothing():
    machine = Machine()
    guest = machine.guest("g", attachment("disk", "passthrough"), Overlay(pattern(1)))
    machine.power_on()
    with pytest.raises(ValueError, match="no memory taken away while nvme0 is assigned to it"):
        guest.guest.take_ram(16 * MIB, PAGE)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 31), st.integers(1, 8)), max_size=30))
def test_runs_are_what_was_given_less_what_was_taken(changes):
    guest = one_guest(name="g", ram_mib=1).guest
    there = set(range(256))
    for give, first, count in changes:
        pages = set(range(first, min(first + count, 256)))
        change = guest.give_ram if give else guest.take_ram
        if pages & there if give else not pages <= there:
            with pytest.raises(ValueError):
                change(first * PAGE, len(pages) * PAGE)
        else:
            change(first * PAGE, len(pages) * PAGE)
            there = there | pages if give else there - pages
    found = [page for gpa, _, length in guest.backing.runs() for page in range(gpa // PAGE, (gpa + length) // PAGE)]
    assert found == sorted(there)
    spas = [spa + at for _, spa, length in guest.backing.runs() for at in range(0, length, PAGE)]
    assert len(set(spas)) == len(spas) == guest.backing.bytes // PAGE
    for page in range(0, 40):
        assert (guest.backing.spa(page * PAGE) is not None) == (page in there)
