"""Drivers as they are written by somebody who trusts the host: each function here stands for a check that ours has."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from struct import Struct
from typing import Any

from vmio.attacks.defence import Watchdog, without
from vmio.attacks.hostile_host.world import HostWorld
from vmio.drivers import netvsc_receive
from vmio.drivers.netvsc_queue import NetQueue
from vmio.drivers.storvsc_queue import StorQueue
from vmio.vmbus.bus.packets import COMPLETION, DESCRIPTOR, Packet, TransferPages
from vmio.vmbus.bus.ring import DATA, READ, WRITE, RingReader
from vmio.vmbus.net import nvsp as n
from vmio.vmbus.net import rndis as r
from vmio.vmbus.storage import vstor as v

_MOVED = v.SRB.slice("transfer_length")


def of_the_guest(world: HostWorld, reader: RingReader) -> bool:
    """Is it the guest's end of its disk's channel?  (Hosts use the same class.)"""
    return hasattr(world, "disk") and world.disk.end.incoming is reader


@contextmanager
def any_record(world: HostWorld) -> Iterator[None]:
    """A reader that takes the host's index, and offset and length of a record as they come, and reads each of them when it needs it."""
    dog = Watchdog(500)

    def receive(self: RingReader) -> Packet | None:
        if not of_the_guest(world, self):
            return real(self)
        if self.memory.load32(WRITE) == self._read:
            return None
        dog.tick()
        at = DATA + self._read
        kind, _, _, flags, number = DESCRIPTOR.struct.unpack(self.memory.read(at, 16))
        return _taken(self, self.memory.load32(at + 4) & 0xFFFF, kind, flags, number, at)

    def commit(self: RingReader) -> bool:
        if not of_the_guest(world, self):
            return commits(self)
        self.memory.store32(READ, self._read)
        return False
    with without(RingReader, "receive", receive) as real, without(RingReader, "commit", commit) as commits:
        yield


def _taken(reader: RingReader, length8: int, kind: int, flags: int, number: int, at: int) -> Packet:
    """The record of this length: an unsigned difference, and as many bytes as it says."""
    offset = reader.memory.load32(at) >> 16
    payload = reader.memory.read(at + 8 * offset, 8 * (length8 - offset) & 0xFFFF_FFFF)
    reader._read = (reader._read + 8 * length8 + 8) % reader.size
    return Packet(kind, flags, number, payload, ())


@contextmanager
def ids_are_pointers(world: HostWorld) -> Iterator[None]:
    """The transaction id is where the request lies: whatever it names is completed, as often as it is named."""
    known: dict[int, Any] = {}

    def take(self: StorQueue, packet: Packet) -> None:
        number = packet.transaction_id
        if number in self._sent:
            known[number] = self._sent[number]
        elif packet.kind == COMPLETION and number != v.INIT_ID:
            self.finished.append((known[number].request.tag, None))
            return
        real(self, packet)
    with without(StorQueue, "_take", take) as real:
        yield


@contextmanager
def as_much_as_it_says(world: HostWorld) -> Iterator[None]:
    """As many bytes are copied home as the host says that it has moved."""
    def take(self: StorQueue, packet: Packet) -> None:
        bounce, pool = self._bounces.get(packet.transaction_id), self.client.pool
        if packet.kind == COMPLETION and bounce is not None and pool is not None and packet.transaction_id in self._sent:
            moved = int.from_bytes(packet.payload[_MOVED], "little")
            self.cpu.write(pool.mappings[bounce].gpa, self.cpu.read(bounce, moved))
        real(self, packet)
    with without(StorQueue, "_take", take) as real:
        yield


@contextmanager
def sums_that_wrap(_world: HostWorld) -> Iterator[None]:
    """The check adds 32-bit numbers, as C does, and what passes is used as it is."""
    def frame(message: bytes) -> bytes | None:
        about = r.PACKET.parse(message)
        if about.data_offset + about.data_length + r.BODY & 0xFFFF_FFFF > len(message):
            return None
        return Struct(f"{about.data_length}s").unpack_from(message, r.BODY + about.data_offset)[0]
    with without(netvsc_receive, "frame", frame):
        yield


@contextmanager
def blocks_of_any_size(_world: HostWorld) -> Iterator[None]:
    """The next block begins where this one says that it ends."""
    dog = Watchdog()

    def beside(blocks: bytes) -> Iterator[tuple[int, int]]:
        at = 0
        while at < len(blocks):
            dog.tick()
            size, kind, offset, *_ = r.PPI.parse(blocks[at:at + r.PPI.size])
            yield kind, int.from_bytes(blocks[at + offset:at + offset + 4], "little")
            at += size
    with without(netvsc_receive, "beside", beside):
        yield


@contextmanager
def any_section(_world: HostWorld) -> Iterator[None]:
    """Frames are where the host says, wherever that is."""
    def take(self: NetQueue, each: Packet) -> None:
        if isinstance(each.ranges, TransferPages):
            for length, offset in each.ranges.ranges:
                self._message(self.cpu.read(self.card.receive_at + offset, length))
            self._give_back.append(each.transaction_id)
        else:
            real(self, each)
    with without(NetQueue, "_take", take) as real:
        yield


@contextmanager
def whole_completions(_world: HostWorld) -> Iterator[None]:
    """An answer has all of its fields."""
    def completed(self: NetQueue, number: int, payload: bytes) -> None:
        n.RNDIS_PKT_COMPLETE.parse(payload)
        real(self, number, payload)
    with without(NetQueue, "_completed", completed) as real:
        yield


@contextmanager
def every_answer_is_kept(_world: HostWorld) -> Iterator[None]:
    """Somebody will ask for it."""
    def message(self: NetQueue, data: bytes) -> None:
        if len(data) >= r.SET_COMPLETE.size and r.HEAD.parse(data).type & r.COMPLETE:
            self.card.replies[r.SET_COMPLETE.parse(data).id] = data
        else:
            real(self, data)
    with without(NetQueue, "_message", message) as real:
        yield


def always(owner: Any, name: str) -> Callable[[HostWorld], Any]:
    """Return what puts a check that says yes to everything in the place of this one."""
    return lambda world: without(owner, name, lambda self, *what: True)
