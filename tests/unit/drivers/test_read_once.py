"""Drivers read what their host wrote once: each byte of shared memory is fetched at most once for each time that it was written.

A host that changes a word between two reads finds nobody who reads twice.  Words that say whether there is something at all - a ring's
indices, event flags, whether a slot is in use, and whether another message waits - are looked at again and again, and then each look is one
fetch, whose copy is checked and used; the second half of the file holds that.
"""

from collections import Counter

import pytest

from tests.netvsp_rig import Peer
from vmio.hypervisor.hyperv import tlfs
from vmio.machine.memory import PAGE
from vmio.machine.net.cable import Cable
from vmio.machine.pagetable import AddressSpace
from vmio.machine.probes import watch
from vmio.machine.storage import Image
from vmio.machine.window import Window
from vmio.modes import Machine, attachment
from vmio.vmbus.bus.packets import INBAND
from vmio.vmbus.bus.ring import RingReader, RingWriter, format_ring
from vmio.vmbus.bus.ringmemory import FlatMemory

CONTROL_WORDS = 68           # of a ring's control page


class Fetches:
    """Counts the guest's fetches of shared bytes since each was written; `twice` has those that were fetched again."""

    def __init__(self, guest):
        self.guest, self.seen, self.twice, self.total = guest, Counter(), [], 0
        self.sampled = set()
        watch(guest.seen, "stored", self.written)
        watch(guest.host.memory, "written", self.by_host)
        guest.cpu.memory = Space(guest, self)
        guest.cpu.window = lambda pages: Watched(guest, pages, self)

    def written(self, gpa, length):
        for at in range(gpa, gpa + length):
            self.seen.pop(at, None)

    def by_host(self, spa, length):
        for first, start, size in self.guest.backing.runs():
            if start <= spa < start + size:
                self.written(spa - start + first, length)

    def fetched(self, gpa, length):
        if not self.guest.isolation.may(gpa // PAGE, 1) or self.guest.overlaid(gpa & -PAGE) and self._sample(gpa):
            return
        for at in range(gpa, gpa + length):
            if at not in self.sampled:
                self.total += 1
                self.seen[at] += 1
                if self.seen[at] > 1:
                    self.twice.append(at)

    def _sample(self, gpa):
        """A look whether there is something: the page of event flags; in a slot its type, and afterwards its flags."""
        synic = self.guest.enlightened.synics[0]
        return gpa >= (synic.siefp & -PAGE) and gpa < (synic.siefp & -PAGE) + PAGE or gpa % tlfs.SLOT in (0, 5)


class Space(AddressSpace):
    """The guest's memory as its vCPU reaches it."""

    __slots__ = ("fetches", "guest")

    def __init__(self, guest, fetches):
        super().__init__(guest.memory.memory, guest.slat)
        self.guest, self.fetches = guest, fetches

    def read(self, address, length):
        self.fetches.fetched(address, length)
        return super().read(address, length)

    def write(self, address, data):
        super().write(address, data)
        if self.guest.overlaid(address & -PAGE) and address % tlfs.SLOT == 0:
            self.fetches.written(address, tlfs.SLOT)     # the slot is free: the host may fill it
        elif self.guest.isolation.may(address // PAGE, 1):
            self.fetches.written(address, len(data))


class Watched(Window):
    """A ring in the guest's hands."""

    def __init__(self, guest, pages, fetches):
        super().__init__(guest.memory, pages)
        self.fetches = fetches
        fetches.sampled.update(range(pages[0] * PAGE, pages[0] * PAGE + CONTROL_WORDS))

    def _told(self, offset, length):
        while length:
            step = min(PAGE - offset % PAGE, length)
            self.fetches.fetched(self.pages[offset // PAGE] * PAGE + offset % PAGE, step)
            offset, length = offset + step, length - step

    def read(self, offset, length):
        self._told(offset, length)
        return super().read(offset, length)

    def load32(self, offset):
        self._told(offset, 4)
        return super().load32(offset)


def test_a_disk_is_read_once():
    disk = attachment("disk", "split", confidential=True, pool_kib=1024, ring_kib=16)
    guest = Machine().guest("safe", disk, Image(bytearray(range(256)) * 8192), ram_mib=(disk.driver_memory >> 20) + 2)
    guest.machine.power_on()
    fetches, room = Fetches(guest.guest), disk.driver_memory

    def program(cpu, driver):
        for round in range(12):
            yield from cpu.pay()
            for n in range(8):
                driver.submit("read" if n % 3 else "write", 8 * n, 8, room + 4096 * n, n)
            driver.flush_ring()
            over = []
            while len(over) < 8:
                yield from driver.wait()
                over += driver.reap()
            assert all(error is None for _, error in over)
        yield from driver.flush()
        yield from driver.close()
    guest.machine.run((guest, program))
    assert fetches.twice == [] and fetches.total > 12 * 5 * 4096


MAC, FAR = bytes.fromhex("00155d000001"), bytes.fromhex("020000000009")


def test_a_card_is_read_once():
    cable = Cable()
    guest = Machine().guest("safe").attach(attachment("net", "split", address=MAC, confidential=True, pool_kib=1024), backend=cable.ends[0])
    guest.machine.power_on()
    fetches, peer = Fetches(guest.guest), Peer(cable.ends[1])

    def program(cpu, card):
        for n in range(30):
            assert card.send(FAR + MAC + b"\x08\0" + bytes(50 + n), more=n % 3 < 2)
            yield from cpu.pay()
            peer.end.send(MAC + FAR + b"\x08\0" + bytes([n]) * (46 + 40 * n))
        got = []
        while card.pending or len(got) < 30:
            yield from card.wait()
            got += card.reap()
        return got
    frames, = guest.machine.run((guest, program))
    assert [frame[14] for frame in frames] == list(range(30)) and fetches.twice == [] and fetches.total > 30 * 60


class Counting(FlatMemory):
    """A ring whose words say how often they are read."""

    def __init__(self, pages):
        super().__init__(pages)
        self.reads = Counter()

    def read(self, offset, length):
        self.reads.update(range(offset, offset + length))
        return super().read(offset, length)

    def load32(self, offset):
        self.reads.update(range(offset, offset + 4))
        return super().load32(offset)

    def indices(self):
        self.reads.update(range(16))
        return super().indices()


@pytest.fixture
def ring():
    memory = Counting(3)
    format_ring(memory)
    return memory


def once(memory, call):
    memory.reads.clear()
    answer = call()
    assert not memory.reads or max(memory.reads.values()) == 1, memory.reads.most_common(3)
    return answer


def test_each_look_at_a_ring_s_words_is_one_fetch(ring):
    writer, reader = RingWriter(ring), RingReader(ring)
    for size in (8, 200, 1000, 3000, 24):
        once(ring, lambda: writer.write(INBAND, bytes(size), 1))
        once(ring, writer.publish)
        once(ring, writer.available)
        once(ring, reader.available)
        assert len(once(ring, reader.receive).payload) == size
        once(ring, reader.commit)
        once(ring, reader.unmask)


def test_records_that_are_there_together_are_fetched_once(ring):
    writer, reader = RingWriter(ring), RingReader(ring)
    for turn in range(60):                              # round and round: records lie at every place, also across the end
        for n in range(5):
            writer.write(INBAND, bytes([n]) * (8 + 56 * (n + turn) % 700), n)
        writer.publish()
        ring.reads.clear()
        for n in range(5):
            assert set(reader.receive().payload) <= {n, 0}
        assert reader.receive() is None
        reader.commit()
        data = {at: count for at, count in ring.reads.items() if at >= PAGE}
        assert set(data.values()) == {1}
