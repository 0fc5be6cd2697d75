"""Attacks on the rings: indices, lengths, counts, double fetch, a ring nobody reads, forged completions."""

from collections.abc import Iterator
from contextlib import contextmanager
from struct import iter_unpack
from typing import Any

from vmio.attacks.catalogue import collection
from vmio.attacks.defence import Watchdog, without
from vmio.attacks.split import SplitWorld
from vmio.attacks.talker import read10, request
from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED
from vmio.attacks.world import BUFFER, CANARY
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.probes import watch
from vmio.vmbus.bus import ring
from vmio.vmbus.bus.packets import COMPLETION, DESCRIPTOR, GPA_DIRECT, GPA_HEADER, GPA_RANGE, INBAND, GpaRange, Packet
from vmio.vmbus.bus.ring import DATA, WRITE, RingFull, RingReader, RingWriter
from vmio.vmbus.bus.worker import RingWorker, Taken
from vmio.vmbus.storage import vstor as v
from vmio.vmbus.storage.srb import Srb
from vmio.vmbus.storage.storvsp import StorVsp

OPENVMM = "OpenVMM vm/devices/vmbus/vmbus_ring"
ATTACKS, attack = collection("rings", "split", SplitWorld, "rings")


def trusting_set_write(self: RingReader, write: int) -> None:
    """Takes the producer's index as it is."""
    self._available = write - self._read


@attack("ring-index-outside", "Write index outside the ring", "an index is below the ring's size and a multiple of 8", OPENVMM,
        "the index is checked each time it is read", lambda world: without(RingReader, "_set_write", trusting_set_write),
        REJECT, WEDGED, wall="ring check: index")
def index_outside(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    talker.raw(DESCRIPTOR.pack(type=INBAND, offset8=2, length8=0xFFFF, flags=1))
    yield from talker.publish(0x7FFF_FFF8)


def is_hosts(world: SplitWorld, reader: RingReader) -> bool:
    """Is it the host's end of the attacker's channel?  (Guests use the same class, and shall not suffer.)"""
    worker = world.vsp.worker
    return worker is not None and worker.end.incoming is reader


@contextmanager
def no_lengths(world: SplitWorld) -> Iterator[None]:
    """A reader that believes every record about its own length."""
    dog = Watchdog(500)

    def receive(self: RingReader) -> Packet | None:
        if not is_hosts(world, self):
            return receives(self)
        if not self._available:
            self._set_write(self.memory.load32(WRITE))
            if not self._available:
                return None
        dog.tick()
        at = self._read
        kind, start, length, flags, number = DESCRIPTOR.struct.unpack(self._fetch(at, 16))
        self._read = (at + 8 * length + 8) % self.size
        self._available -= 8 * length + 8          # below zero is not zero
        return Packet(kind, flags, number, self._fetch((at + 8 * start) % self.size, 8 * (length - start)), ())

    def commit(self: RingReader) -> bool:
        return False if is_hosts(world, self) else commits(self)

    def unmask(self: RingReader) -> bool:
        return self._available != 0 if is_hosts(world, self) else unmasks(self)
    with (without(RingReader, "receive", receive) as receives, without(RingReader, "commit", commit) as commits,
          without(RingReader, "unmask", unmask) as unmasks):
        yield


@attack("ring-record-too-long", "A record longer than what was published", "a record lies within the published bytes",
        OPENVMM, "the record's length is compared with the bytes published", no_lengths, REJECT, WEDGED,
        wall="ring check: length")
def record_too_long(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu, length=72)
    payload = v.PACKET.pack(operation=v.BEGIN_INITIALIZATION, flags=1).ljust(72, b"\0")
    one = DESCRIPTOR.pack(type=INBAND, offset8=2, length8=11, flags=1, transaction_id=9) + payload + bytes(8)
    talker.out.write(DATA, one * (3 * 4096 // len(one)))         # a ring full of good requests
    at = talker.out.load32(WRITE)
    talker.raw(DESCRIPTOR.pack(type=INBAND, offset8=2, length8=23, flags=1, transaction_id=9))
    yield from talker.publish((at + len(one)) % (3 * 4096))      # says one, is two


@contextmanager
def any_offset(world: SplitWorld) -> Iterator[None]:
    """The payload is copied from the record's offset to its length: unsigned, and nobody looks which of them is larger."""
    def receive(self: RingReader) -> Packet | None:
        if is_hosts(world, self) and self.memory.load32(WRITE) != self._read:
            at = self._read
            start, length = DESCRIPTOR.struct.unpack(self._fetch(at, 16))[1:3]
            self._fetch((at + 8 * start) % self.size, 8 * (length - start) & 0xFFFF_FFFF)
        return real(self)
    with without(RingReader, "receive", receive) as real:
        yield


@attack("ring-offset-outside", "A payload that begins after its record's end", "a payload lies within its record", OPENVMM,
        "the offset is compared with the length", any_offset, REJECT, WEDGED, wall="ring check: offset")
def offset_outside(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    record = DESCRIPTOR.pack(type=INBAND, offset8=12, length8=11, flags=1) + bytes(80)
    yield from talker.publish(talker.raw(record) + len(record))


@contextmanager
def any_count(world: SplitWorld) -> Iterator[None]:
    """The number of ranges is a loop's bound as it comes."""
    dog = Watchdog()

    def parse_ranges(kind: int, data: bytes) -> tuple[GpaRange, ...]:
        ranges, at = [], 8
        for _ in range(GPA_HEADER.struct.unpack_from(data)[1]):
            dog.tick()
            count, offset = GPA_RANGE.struct.unpack_from(data.ljust(at + 8, b"\0"), at)
            pages = data[at + 8:at + 8 + 8 * (offset + count + 0xFFF >> 12)]
            ranges.append(GpaRange(count, offset, tuple(number for number, in iter_unpack("<Q", pages))))
            at += 8 + len(pages)
        return tuple(ranges)
    with without(ring, "parse_ranges", parse_ranges):
        yield


@attack("ring-range-count", "Four thousand million ranges in one record", "ranges fit into the bytes that hold them",
        "OpenVMM vm/devices/vmbus/vmbus_ring/src/gparange.rs", "the count is compared with the bytes there are", any_count,
        REJECT, WEDGED, wall="ring check: ranges")
def range_count(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    payload, _ = request(read10(0, 8), 4096)
    record = (DESCRIPTOR.pack(type=GPA_DIRECT, offset8=5, length8=13, flags=1) + GPA_HEADER.pack(ranges=0xFFFF_FFFF)
              + GPA_RANGE.pack(byte_count=4096, pages=(BUFFER >> 12,)) + payload + bytes(8))
    at = talker.raw(record)
    yield from talker.publish(at + len(record))


@contextmanager
def fetched_twice(world: SplitWorld) -> Iterator[None]:
    """Page numbers are checked where they are received, and read again from the ring where they are used."""
    places: dict[int, tuple[RingReader, int]] = {}      # by transaction: where its record lies

    def receive(self: RingReader) -> Packet | None:
        at, packet = self._read, real(self)
        if packet is not None:
            places[packet.transaction_id] = self, at
        return packet

    def pages(self: Srb, length: int, access: int) -> Any:
        if checked(self, length, access) is None:
            return None
        reader, at = places[self.id]
        number = int.from_bytes(reader._fetch((at + 32) % reader.size, 8), "little")
        return [self.vsp.guest.ram_spa(0) + (number << 12)]
    with without(RingReader, "receive", receive) as real, without(Srb, "_pages", pages) as checked:
        yield


@attack("ring-double-fetch", "Change a page number between check and use", "what is checked is what is used: one fetch",
        "Xen Security Advisory 155; F. Wilhelm, \"Xenpwn\", 2016", "the record is copied once, and the copy is used",
        fetched_twice, PASS, FAIL, wall="private copy")
def double_fetch(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    foreign = world.neighbour.ram_spa(CANARY) - world.attacker.ram_spa(0) >> 12
    at = talker.out.load32(WRITE)

    def other_processor(_used: int) -> None:      # the guest's second vCPU; here it is lucky each time
        talker.out.write(DATA + at + 32, foreign.to_bytes(8, "little"))
    watch(world.vsp.worker.end.incoming, "moved", other_processor)
    yield from talker.srb(read10(0, 8), 4096)


@attack("ring-unread", "Ask and ask, and never read an answer", "who doesn't read answers gets no more requests taken",
        "OpenVMM vm/devices/storage/storvsp", "no request is taken while an answer finds no room",
        lambda world: without(RingWorker, "_room", lambda self: self.batch), PASS, WEDGED, wall="room for answers")
def unread(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    talker.deaf = True
    payload, _ = request(bytes(6))           # TEST UNIT READY
    for _ in range(20):
        taken = world.vsp.worker.taken
        try:
            while True:
                talker.send(payload)
        except RingFull:
            yield from talker.wait(3_000_000)
        if world.vsp.worker.taken == taken:
            break                        # the host has stopped taking


@contextmanager
def shared_index(world: SplitWorld) -> Iterator[None]:
    """The host keeps its own write index in the shared page, and nowhere else."""
    def write(self: RingWriter, *record: Any, **options: Any) -> Any:
        self._write = self.memory.load32(WRITE)
        return real(self, *record, **options)
    with without(RingWriter, "write", write) as real:
        yield


@attack("ring-hosts-index", "Overwrite the host's own index", "one's own index is never read back", OPENVMM,
        "the host writes at its private copy of the index", shared_index, PASS, WEDGED, wall="private index")
def hosts_index(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    talker.deaf = True
    talker.back.store32(WRITE, 0xFFFF_F000)
    yield from talker.srb(bytes(6))


@contextmanager
def believes_completions(world: SplitWorld) -> Iterator[None]:
    """A completion from the guest ends the request with its id, whoever has it."""
    def handle(self: StorVsp, taken: Taken, packet: Packet, primary: bool = True) -> None:
        if packet.kind == COMPLETION:
            taken.end()
            for flight in (taken.worker.under_way, self.under_way):
                flight.ended(next(iter(flight)))
        else:
            real(self, taken, packet, primary)
    with without(StorVsp, "packet", handle) as real:
        yield


@attack("completion-forged", "Complete one's own request, and die", "requests come from the guest, completions from the host",
        "OpenVMM vm/devices/storage/storvsp", "a record that is no request ends the channel", believes_completions,
        REJECT, FAIL, wall="VSP's packet check")
def completion_forged(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    for number in range(20):             # the disk needs a while for so many
        talker.send(*request(read10(0, 128), 128 * 512), number=number)
    for number in range(20):
        talker.end.outgoing.send(COMPLETION, bytes(64), number)
    yield from cpu.pay()
    world.pass_on(20_000)
