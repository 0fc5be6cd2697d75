"""A device that trusts its driver: each function here takes one defence away from the attacker's device, and from no other.

Guest memory by pointer is what a program has that maps a guest's RAM once and adds: an address that is too large is somebody else's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from struct import Struct

from vmio.attacks.defence import Watchdog, without
from vmio.attacks.virtqueue.world import QueueWorld
from vmio.machine.contracts import Buffer, Memory
from vmio.machine.memory import PAGE
from vmio.virtio.queue.base import DeviceQueue
from vmio.virtio.queue.chain import FAULTS, Chain
from vmio.virtio.queue.packed import PackedQueue, step
from vmio.virtio.queue.split import SplitQueue
from vmio.virtio.queue.wire import DESCRIPTOR, INDIRECT, NEXT, PACKED, WRITE

_U16, _U64 = Struct("<H"), Struct("<Q")
ENDLESS = 3000                 # steps of a loop for one kick, after which it is stopped


class Pointer:
    """The attacker's RAM as a base and a sum of 64 bits, without an end and without permissions."""

    def __init__(self, world: QueueWorld) -> None:
        self.host, self.base = world.host, world.base

    def read(self, address: int, length: int) -> bytes:
        """See `Memory`."""
        return self.host.read(self.base + address & (1 << 64) - 1, length)

    def write(self, address: int, data: Buffer) -> None:
        """See `Memory`."""
        self.host.write(self.base + address & (1 << 64) - 1, data)


def attackers(world: QueueWorld, queue: object) -> bool:
    """Is it a queue of the attacker's device?  (The neighbour's is of the same class.)"""
    return any(queue is one for one in world.device.queues.values())


@contextmanager
def by_pointer(world: QueueWorld) -> Iterator[None]:
    """Every address of the driver's is taken as it is."""
    fenced: Memory = world.device.memory
    world.device.memory = Pointer(world)
    yield
    world.device.memory = fenced


@contextmanager
def any_chain(world: QueueWorld) -> Iterator[None]:
    """Descriptors are followed wherever they lead, in a table that is mapped once, with no look at how many there are."""
    dog, memory = Watchdog(ENDLESS), Pointer(world)

    def take(chain: Chain, address: int, length: int, flags: int) -> None:
        dog.tick()
        (chain.writable if flags & WRITE else chain.readable).append((address, length))
        chain.space, chain.size = (chain.space + length, chain.size) if flags & WRITE else (chain.space, chain.size + length)

    def split(self: SplitQueue, head: int) -> Chain:
        if not attackers(world, self):
            return real(self, head)
        chain, todo = Chain(self, head), [(self.descriptors, head)]
        while todo:
            table, at = todo.pop()
            address, length, flags, following = DESCRIPTOR.struct.unpack(memory.read(table + 16 * at, 16))
            if flags & NEXT:
                todo.append((table, following))
            if flags & INDIRECT:
                dog.tick()
                todo.append((address, 0))
            else:
                take(chain, address, length, flags)
        return chain

    def packed(self: PackedQueue) -> Chain | None:
        if not attackers(world, self):
            return reals(self)
        if self._flags() is None:
            return None
        chain, at, slots, flags = Chain(self, 0), self._at, 0, NEXT
        while flags & NEXT:
            address, length, _, flags = PACKED.struct.unpack(memory.read(self.descriptors + 16 * at, 16))
            at, slots, todo = (at + 1) % self.size, slots + 1, [(address, length, flags)]
            while todo:
                address, length, inner = todo.pop()
                if inner & INDIRECT:
                    dog.tick()
                    todo += [(at_, size, each) for at_, size, _, each in PACKED.struct.iter_unpack(memory.read(address, length))]
                else:
                    take(chain, address, length, inner)
        chain.slots = slots
        self._slots += slots
        self._at, self._wrap = step(self._at, self._wrap, slots % self.size, self.size)
        return chain
    with without(SplitQueue, "_chain", split) as real, without(PackedQueue, "_next", packed) as reals:
        yield


@contextmanager
def any_index(world: QueueWorld) -> Iterator[None]:
    """Heads are taken until our index is the driver's, however many that are, and however many are in flight."""
    dog = Watchdog(ENDLESS // 10)

    def following(self: SplitQueue) -> Chain | None:
        if not attackers(world, self):
            return real(self)
        index, = _U16.unpack(self.memory.read(self.driver + 2, 2))
        if index == self._available:
            return None
        dog.tick()
        head, = _U16.unpack(self.memory.read(self.driver + 4 + 2 * (self._available % self.size), 2))
        self._available = self._available + 1 & 0xFFFF
        return self._chain(head)
    with without(SplitQueue, "_next", following) as real:
        yield


@contextmanager
def any_number(world: QueueWorld) -> Iterator[None]:
    """As many chains are taken as there are, also when a ring of theirs can't hold so many."""
    with any_index(world), any_chain(world):
        yield


@contextmanager
def any_direction(world: QueueWorld) -> Iterator[None]:
    """The device knows by a descriptor's place what it is for, writes there by pointer, and asks for no flag."""
    lent = world.device.lent

    def add(self: Chain, address: int, length: int, flags: int) -> None:
        number = next((number for number, queue in world.device.queues.items() if queue is self.queue), None)
        if number is None:
            real(self, address, length, flags)
        elif self.readable or number in lent:
            self.writable.append((address, length))
            self.space += length
        else:
            self.readable.append((address, length))
            self.size += length
    with without(Chain, "add", add) as real, by_pointer(world):
        yield


@contextmanager
def any_length(world: QueueWorld) -> Iterator[None]:
    """A chain's length is a sum of 32 bits; a page of the host's own takes the copy, and each piece is copied whole."""
    def check(self: Chain) -> None:
        self.size, self.space = self.size & 0xFFFF_FFFF, self.space & 0xFFFF_FFFF

    def fetch(self: Chain, offset: int, length: int) -> bytes | None:
        if self.size == sum(n for _, n in self.readable):
            return real(self, offset, length)
        at = world.bounce
        try:
            for address, left in self.readable:
                while left > 0:
                    n = min(left, PAGE - address % PAGE)
                    world.host.write(at, self.queue.memory.read(address, n))
                    address, left, at = address + n, left - n, at + n
        except FAULTS:
            pass                      # the guest's RAM ends; what was copied so far is where it is
        return world.host.bytes[world.bounce + offset:world.bounce + offset + length]
    with without(Chain, "check", check), without(Chain, "fetch", fetch) as real:
        yield


@contextmanager
def fetched_again(world: QueueWorld) -> Iterator[None]:
    """Addresses are checked where the chain is followed, and read again, from the ring, where the data are moved."""
    pointer = Pointer(world)

    def pieces(chain: Chain) -> list[tuple[int, int]]:
        ring = chain.queue
        assert isinstance(ring, DeviceQueue)
        first = len(chain.readable) + len(chain.writable)
        return [(_U64.unpack(world.memory.read(ring.descriptors + 16 * i, 8))[0], n)
                for i, (_, n) in zip(range(first), [*chain.readable, *chain.writable])]

    def fetch(self: Chain, offset: int, length: int) -> bytes | None:
        if not attackers(world, self.queue) or offset + length <= self.readable[0][1]:
            return real(self, offset, length)
        return b"".join(pointer.read(at, n) for at, n in pieces(self)[:len(self.readable)])[offset:offset + length]
    with without(Chain, "fetch", fetch) as real:
        yield


@contextmanager
def last_byte_of(world: QueueWorld) -> Iterator[None]:
    """A status goes to the last byte of the last piece: address, plus length, less one."""
    pointer = Pointer(world)

    def add(self: Chain, address: int, length: int, flags: int) -> None:
        if length or not attackers(world, self.queue):
            real(self, address, length, flags)
        else:
            self.writable.append((address, length))
            self.space += 1            # there is a place, so there is room

    def store(self: Chain, offset: int, data: Buffer) -> bool:
        if attackers(world, self.queue) and len(data) == 1:
            address, length = self.writable[-1]
            pointer.write(address + length - 1, data)
            return True
        return stores(self, offset, data)
    with without(Chain, "add", add) as real, without(Chain, "store", store) as stores:
        yield
