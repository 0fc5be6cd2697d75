"""Frames of the host's that many guests share: one exit a page, one copy for all, and nobody who changes it."""

import pytest

from vmio.drivers.errors import DriverError
from vmio.hypervisor.faults import GuestFault
from vmio.hypervisor.pmem import BASE, DEVICE_BYTES, MAX_DEVICES, NAME, READ_ONLY, Frames, Pmem
from vmio.machine.checkpoint import CheckpointRefused, from_json, to_json
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import EXECUTE, READ, WRITE, TranslationFault
from vmio.machine.storage import Image
from vmio.modes import Machine, attachment

PAGES = 8


def page_of(number):
    return bytes([number + 1]) * PAGE


def of_guests(count):
    """(host, guests without devices)"""
    machine = Machine(memory_mib=64)
    planned = [machine.guest(ram_mib=2) for _ in range(count)]
    return machine.power_on().host, [each.guest for each in planned]


def sharing(count=2, **more):
    """(host, guests, frames, their devices)"""
    host, guests = of_guests(count)
    frames = Frames(host.memory, "base", PAGES, page_of)
    return host, guests, frames, [Pmem(guest, frames, **more) for guest in guests]


def exits(guest):
    return guest.cpu.exits.by_device()[NAME]


def test_one_exit_at_the_first_touch_and_none_after():
    host, (one, two), frames, (mine, other) = sharing()
    assert one.cpu.load(mine.base + 5 * PAGE, 8) == 0x0606_0606_0606_0606 and (exits(one), frames.reads) == (1, 1)
    first = one.cpu.now
    assert first == one.cpu.costs.first_touch_ns + one.cpu.costs.disk_read_ns       # the host had to read it
    for _ in range(100):
        assert one.cpu.load(mine.base + 5 * PAGE + 8, 4) == 0x0606_0606
        assert one.cpu.read(mine.base + 5 * PAGE, PAGE) == page_of(5)
    assert exits(one) == 1 and one.cpu.now == first
    assert two.cpu.read(other.base + 5 * PAGE, PAGE) == page_of(5)
    assert (exits(two), frames.reads, mine.touches, other.touches) == (1, 1, 1, 1)
    assert two.cpu.now == two.cpu.costs.first_touch_ns                              # the frame was there
    assert [guest.slat.walk(BASE + 5 * PAGE)[-1][2] for guest in (one, two)] == [frames.spas[5] | READ | EXECUTE] * 2


def test_only_what_is_touched_takes_a_frame():
    host, (one, two), frames, (mine, _) = sharing()
    free = host.memory.free_pages
    assert one.cpu.read(mine.base + PAGE - 4, PAGE + 8) == page_of(0)[:4] + page_of(1) + page_of(2)[:4]
    assert exits(one) == 3 and sorted(frames.spas) == [0, 1, 2]
    tables = 2                                      # a page directory and a page table, in a part of the address space that was empty
    assert free - host.memory.free_pages == 3 + tables
    before = host.memory.free_pages
    two.cpu.read(BASE, 3 * PAGE)
    assert before - host.memory.free_pages == tables        # of its own, and no frame


def writes(guest, at):
    cpu = guest.cpu
    return [lambda: cpu.store(at, 8, 1), lambda: cpu.store(at + 1, 1, 1), lambda: cpu.write(at, b"hostile"), lambda: cpu.write(at, bytes(2 * PAGE)),
            lambda: cpu.store(at + PAGE - 2, 4, 1)]


@pytest.mark.parametrize("touched", (False, True))
@pytest.mark.parametrize("which", range(5))
def test_a_write_is_a_fault_that_only_its_guest_sees(which, touched):
    _, (hostile, other), frames, (mine, theirs) = sharing()
    if touched:
        hostile.cpu.read(mine.base, 3 * PAGE)
    other.cpu.read(theirs.base, 3 * PAGE)
    before = exits(hostile)
    with pytest.raises(GuestFault, match=r"^guest0: #GP, write of \d+ bytes at 0x20000[0-9a-f]{4}: layer base is mapped read-only$"):
        writes(hostile, mine.base)[which]()
    assert mine.refused == exits(hostile) - before == 1 and theirs.refused == 0
    assert other.cpu.read(theirs.base, 3 * PAGE) == page_of(0) + page_of(1) + page_of(2) == hostile.cpu.read(mine.base, 3 * PAGE)
    assert exits(other) == 3


def test_the_guest_goes_on_after_its_fault():
    host, (hostile, other), _, (mine, _) = sharing()

    def stubborn(cpu):
        faults = 0
        for _ in range(3):
            try:
                cpu.store(mine.base, 4, 0xBAD)
            except GuestFault:
                faults += 1
        return faults, cpu.load(mine.base, 1)
    assert host.run((hostile.cpu, stubborn), (other.cpu, lambda cpu: cpu.load(BASE, 1))) == [(3, 1), 1]
    assert mine.refused == 3


def test_a_writable_mapping_would_reach_everybody():
    _, (hostile, other), _, (mine, theirs) = sharing(permissions=READ | WRITE)
    hostile.cpu.write(mine.base + 16, b"rewritten")
    assert other.cpu.read(theirs.base + 16, 9) == b"rewritten" and mine.refused == 0


def test_no_device_of_the_guests_writes_there_either():
    layer = Image(bytearray(b"".join(map(page_of, range(PAGES)))), "layer")
    machine = Machine()
    guest = machine.guest("hostile", attachment("disk", "split"), Image(bytearray(1 << 20))).attach(attachment("layer", "vpmem"), layer)
    machine.power_on()

    def program(cpu, disk, mapped):
        assert mapped.read(0, PAGE) == page_of(0)
        for command in (disk.read(0, 8, mapped.base), disk.write(0, 8, mapped.base), disk.read(0, 8, mapped.base + PAGE)):
            with pytest.raises(DriverError, match="SRB status 0x6"):
                yield from command
        with pytest.raises(TranslationFault, match="write at 0x200000000: not permitted"):
            guest.guest.dma.write(mapped.base, b"device")
        with pytest.raises(TranslationFault, match="write at 0x200000000: not permitted"):
            cpu.window([mapped.base // PAGE])
        return mapped.read(0, PAGE)
    assert guest.run(program) == page_of(0)


def test_beyond_its_end_nobody_answers():
    _, (one, _), frames, (mine, _) = sharing()
    assert one.cpu.load(mine.end, 4) == one.cpu.load(mine.base - 4, 4) == 0xFFFF_FFFF
    one.cpu.store(mine.end, 4, 1)
    assert one.cpu.load(mine.end - 2, 4) == 0xFFFF_FFFF      # half of it is there: no device answers for all
    assert one.cpu.load(mine.end - 4, 4) == 0x0808_0808 and sorted(frames.spas) == [7]
    assert one.cpu.load(mine.end - 2, 4) == 0xFFFF_0808


def test_several_devices_lie_one_behind_the_other():
    host, (guest,) = of_guests(1)
    devices = [Pmem(guest, Frames(host.memory, f"layer{n}", 1, lambda page, n=n: bytes([n]) * PAGE)) for n in range(MAX_DEVICES)]
    assert [one.base for one in devices] == [BASE + n * DEVICE_BYTES for n in range(MAX_DEVICES)]
    assert [guest.cpu.load(one.base, 1) for one in devices] == list(range(MAX_DEVICES))
    with pytest.raises(ValueError, match="guest guest0: layer more is one more than 128 devices of virtual persistent memory"):
        Pmem(guest, Frames(host.memory, "more", 1, page_of))


@pytest.mark.parametrize("pages", (0, -1, (DEVICE_BYTES >> 12) + 1))
def test_layers_that_are_too_small_or_too_large(pages):
    with pytest.raises(ValueError, match=rf"^layer odd: {pages:,} pages; 1 to 1,048,576 fit into one device"):
        Frames(of_guests(1)[0].memory, "odd", pages, page_of)


def test_a_host_without_memory_is_the_guests_fault():
    host, (one, two), frames, (mine, theirs) = sharing()
    two.cpu.load(theirs.base, 1)
    one.cpu.load(mine.base, 1)
    host.memory.allocate(1)
    while host.memory.free_pages:
        host.memory.allocate(1)
    with pytest.raises(GuestFault, match="guest0: EPT violation at 0x200001000: layer base: host memory: 1 pages in a row asked, 0 left"):
        one.cpu.load(mine.base + PAGE, 1)
    assert one.cpu.load(mine.base, 1) == two.cpu.load(theirs.base, 1) == 1 and sorted(frames.spas) == [0]


def test_frames_go_when_nobody_has_them():
    host, (one, two), frames, (mine, _) = sharing()
    one.cpu.read(mine.base, 2 * PAGE)
    spas = list(frames.spas.values())
    one.destroy()
    with pytest.raises(RuntimeError, match="layer base: 1 guests still have its frames mapped"):
        frames.free()
    assert two.cpu.load(BASE, 1) == 1
    two.destroy()
    frames.free()
    assert frames.sharers == 0 and not frames.spas and all(host.memory.read(spa, PAGE) == bytes(PAGE) for spa in spas)


def test_such_a_guest_keeps_its_place():
    _, (one, _), _, _ = sharing()
    with pytest.raises(ValueError, match="guest guest0: no memory taken away while layer base is assigned to it: its frames are the host's, and shared"):
        one.take_ram(0, PAGE)


def saved_layers(permissions=READ_ONLY):
    """(machine, its guests), switched on: two share a layer of four pages."""
    layer = Image(bytearray(b"".join(bytes([n]) * PAGE for n in range(1, 5))), "layer")
    machine = Machine(checkpoints=True)
    guests = [machine.guest(name, attachment("layer", "vpmem", permissions=permissions), layer) for name in ("one", "two")]
    machine.power_on()
    return machine, guests


def reads_pages(cpu, mapped):
    """The pages one by one, with pauses, some of them twice."""
    found = []
    for at in (0, 1, 2, 0, 3, 1):
        found.append(mapped.read(at * PAGE, 2))
        yield from cpu.hlt(1000 * (cpu.index + 1))
    return found, cpu.now


def test_guests_that_share_a_layer_are_saved_at_any_step_and_go_on_with_the_same_frames():
    machine, guests = saved_layers()
    run, kept = machine.start(*((guest, reads_pages) for guest in guests)), []
    while run.step():
        kept.append(to_json(machine.save()))
    undisturbed = run.to_the_end()
    frames = [guest.attachments[0].pmem.frames for guest in guests]
    assert undisturbed[0][0] == [bytes([n]) * 2 for n in (1, 2, 3, 1, 4, 2)] and frames[0] is frames[1] and frames[0].reads == 4
    assert len(kept) > 6
    for state in kept:
        other, its = saved_layers()
        assert other.restore(from_json(state), *((guest, reads_pages) for guest in its)).to_the_end() == undisturbed
        again = [guest.attachments[0].pmem for guest in its]
        assert again[0].frames.spas == frames[0].spas and again[0].frames.reads == 4 and [each.touches for each in again] == [4, 4]
        assert sum(guest.guest.cpu.exits.by_device()[NAME] for guest in its) == 8


def test_a_layer_that_is_mapped_otherwise_is_refused():
    machine, guests = saved_layers()
    run = machine.start(*((guest, reads_pages) for guest in guests))
    run.step()
    state = machine.save()
    other, its = saved_layers(READ_ONLY | WRITE)
    with pytest.raises(CheckpointRefused, match="guest one, layer"):
        other.restore(state, *((guest, reads_pages) for guest in its))


def test_equal_media_have_equal_frames_and_others_have_their_own():
    one, other = (Image(bytearray(bytes([n]) * PAGE), f"layer{n}") for n in (1, 2))
    machine = Machine()
    guests = [machine.guest(None, attachment("layer", "vpmem"), medium) for medium in (one, other, one)]
    machine.power_on()
    assert machine.run(*[(guest, lambda cpu, mapped: mapped.read(0, 1)) for guest in guests]) == [b"\1", b"\2", b"\1"]
    assert guests[0].backends[0] is guests[2].backends[0] is not guests[1].backends[0]
    with pytest.raises(ValueError, match="layer memory: 9 sectors; a whole number of pages, 8 sectors each"):
        Machine().guest(None, attachment("layer", "vpmem"), Image(bytearray(9 * 512))).machine.power_on()


def test_the_guest_reads_within_its_layer():
    machine = Machine()
    guest = machine.guest(None, attachment("layer", "vpmem"), Image(bytearray(range(256)) * 32 * 512))
    machine.power_on()
    assert guest.run(lambda cpu, mapped: mapped.read(255, 3 << 20)) == (bytes(range(256)) * (3 * 4096 + 1))[255:255 + (3 << 20)]
    for at, length in ((-1, 1), (0, (4 << 20) + 1), (4 << 20, 1), (5, -1)):
        with pytest.raises(ValueError, match="^layer: .* bytes at .* asked; it has 4,194,304"):
            guest.run(lambda cpu, mapped, at=at, length=length: mapped.read(at, length))
