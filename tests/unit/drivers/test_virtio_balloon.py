"""A guest's virtio balloon on a whole machine: pages that go leave its table and are the host's, those that come back are zeroed; hostile buffers."""

import struct

import pytest

from vmio.drivers.virtio_balloon import IN_A_BUFFER
from vmio.hypervisor.faults import GuestFault
from vmio.machine.checkpoint import CheckpointRefused
from vmio.machine.memory import PAGE
from vmio.machine.probes import watch
from vmio.modes import Machine, attachment
from vmio.virtio import balloon_wire as w

MS, HEAP = 1_000_000, 18 << 20


def rig(ram_mib=32, memory_mib=64):
    """(guest, its balloon's device)."""
    machine = Machine(memory_mib=memory_mib)
    part = attachment("memory", "split", dialect="virtio")
    guest = machine.guest("g", part, ram_mib=ram_mib)
    machine.power_on()
    return guest, part.device


def played(steps, **options):
    """Run `steps(device, cpu, balloon)` in a guest; returns the device."""
    guest, device = rig(**options)

    def work(cpu, balloon):
        yield from steps(device, cpu, balloon)
    guest.run(work)
    return device


def test_pages_go_and_come_by_the_frame():
    def steps(device, cpu, balloon):
        host, total = device.guest.host.memory, balloon.heap.total
        cpu.write(HEAP, b"secret")
        before = host.free_pages
        device.want(1000)
        yield from balloon.serve(cpu.now + 50 * MS)
        assert device.given.runs == [(HEAP // PAGE, 1000)] and (device.actual, len(balloon.ballooned)) == (1000, 1000)
        assert balloon.heap.total == total - 1000 and balloon.buffers == -(-1000 // IN_A_BUFFER)
        assert device.assigned == (32 << 20) // PAGE - 1000
        assert 998 <= host.free_pages - before <= 1000                # a large page that was split needs a table
        with pytest.raises(ValueError, match="no RAM at"):
            device.guest.ram_spa(HEAP)
        device.want(0)
        yield from balloon.serve(cpu.now + 50 * MS)
        assert device.given.total == device.actual == 0 and balloon.heap.total == total and device.guest.missing_ram() is None
        assert cpu.read(HEAP, 6) == bytes(6)
    assert played(steps).broken is None


def test_the_guest_hears_at_once_what_the_host_wants():
    def steps(device, cpu, balloon):
        yield from balloon.serve(cpu.now + MS)
        asked = cpu.now + 2 * MS
        device.guest.host.at(asked, lambda _: device.want(4))
        device.watched = []
        watch(device, "moved", lambda pages: device.watched.append((pages, cpu.now - asked)))
        yield from balloon.serve(cpu.now + 20 * MS)
        assert [pages for pages, _ in device.watched] == [4] and device.watched[0][1] < MS
    played(steps)


def test_a_page_that_was_given_is_a_fault_of_the_guests_own():
    guest, device = rig()

    def work(cpu, balloon):
        device.want(8)
        yield from balloon.serve(cpu.now + 10 * MS)
        cpu.write(HEAP, b"still mine")
    with pytest.raises(GuestFault, match="EPT violation, write of 8 bytes at 0x1200000: the guest gave this page to the host"):
        guest.run(work)
    assert device.given.total == 8


def test_statistics_come_when_they_are_asked_for():
    def steps(device, cpu, balloon):
        yield from balloon.serve(cpu.now + MS)
        assert device.stats == {w.FREE: balloon.heap.available * PAGE, w.TOTAL: balloon.heap.total * PAGE, w.AVAILABLE: balloon.heap.available * PAGE}
        balloon.heap.promise(100)
        assert device.ask_stats() and not device.ask_stats()
        yield from balloon.serve(cpu.now + MS)
        assert device.stats[w.FREE] == balloon.heap.available * PAGE and balloon.reports == 2
    played(steps)


def test_it_gives_what_is_free_and_the_rest_later():
    def steps(device, cpu, balloon):
        free = balloon.heap.available
        balloon.heap.promise(free - 10)
        device.want(50)
        yield from balloon.serve(cpu.now + 10 * MS)
        assert len(balloon.ballooned) == device.given.total == device.actual == 10
        balloon.heap.promise(0)
        yield from balloon.serve(cpu.now + 300 * MS)
        assert device.given.total == device.actual == 50
    played(steps)


def test_a_deflation_waits_for_the_hosts_frames():
    def steps(device, cpu, balloon):
        host = device.guest.host.memory
        device.want(512)
        yield from balloon.serve(cpu.now + 20 * MS)
        taken = [host.allocate(1) for _ in range(host.free_pages)]
        device.want(0)

        def later(_):
            for spa in taken:
                host.free(spa, 1)
            device.settle()
        device.guest.host.at(cpu.now + 30 * MS, later)
        begun = cpu.now
        yield from balloon.serve(cpu.now + 60 * MS)
        assert device.given.total == 0 and cpu.now - begun >= 30 * MS
    assert played(steps).broken is None


@pytest.mark.parametrize("number, data, why", [
    (w.INFLATE, b"", "a buffer of 0 bytes"), (w.INFLATE, b"abc", "a buffer of 3 bytes; 4 for each of 1 to 1,024"),
    (w.INFLATE, struct.pack("<2I", 0x1300, 0x1300), "none of which is there"), (w.INFLATE, struct.pack("<I", 0xFFFF_FFFF), "the guest has not all of these"),
    (w.INFLATE, struct.pack("<1025I", *range(0x1300, 0x1300 + 1025)), "a buffer of 4,100 bytes"),
    (w.DEFLATE, struct.pack("<I", 0x1300), "not all were given"), (w.STATS, b"123", "a buffer of 3 bytes; 10 for each of 1 to 64")])
def test_what_no_honest_driver_sends(number, data, why):
    """The device needs a reset, and nothing has moved."""
    def steps(device, cpu, balloon):
        at = HEAP + (8 << 20)
        cpu.write(at, data)
        queue = balloon._queues[number]
        queue.add([(at, len(data))] if data else [], [] if data else [(at, 4)], "bad")
        balloon._push(number)
        yield from cpu.hlt(MS)
        assert device.status & 0x40 and device.broken.startswith(f"queue {number}: ") and why in device.broken
        assert device.given.total == 0 and device.guest.missing_ram() is None
    played(steps)


def test_a_reset_brings_the_memory_back_and_a_driver_that_would_not_tell_is_refused():
    def steps(device, cpu, balloon):
        device.want(300)
        yield from balloon.serve(cpu.now + 10 * MS)
        balloon.transport.put("device_status", 0)
        assert device.given.total == 0 and device.guest.missing_ram() is None and device.read_status() == 0
        assert not device.accepts(1 << 32) and device.accepts(1 << 32 | w.MUST_TELL_HOST)
        yield from cpu.pay()
    played(steps)


def test_what_the_host_may_want():
    def steps(device, cpu, balloon):
        for pages in (-1, (32 << 20) // PAGE + 1):
            with pytest.raises(ValueError, match=f"guest g: {pages} pages wanted; 0 to the 8192"):
                device.want(pages)
        yield from cpu.pay()
    played(steps)


def test_it_is_refused_by_a_checkpoint():
    machine = Machine(memory_mib=64)
    part = attachment("memory", "split", dialect="virtio")
    machine.guest("g", part, ram_mib=32)
    machine.power_on()
    with pytest.raises(CheckpointRefused, match="a virtio balloon of guest g can't be saved yet"):
        part.save(type("Saving", (), {"now": 0})())
