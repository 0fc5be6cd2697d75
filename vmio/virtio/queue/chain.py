"""One chain of descriptors, taken out of a queue: what the device may read, what it may write.

A chain is made of private copies: each descriptor is read once, checked, and never looked at again.
Source: VIRTIO 1.2, 2.7.4 and 2.7.5.
"""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from vmio.machine.contracts import Buffer, Memory, State
from vmio.machine.layout import Layout
from vmio.machine.memory import MemoryFault
from vmio.machine.pagetable import TranslationFault
from vmio.virtio.queue.wire import DESCRIPTOR, WRITE

FAULTS = (MemoryFault, TranslationFault)    # what memory raises for addresses that can't be reached
MAX_PIECES = 1024         # of one chain; QEMU's VIRTQUEUE_MAX_SIZE
MAX_BYTES = 1 << 32       # of one chain (2.7.4.1)
Piece: TypeAlias = tuple[int, int]     # (address, bytes)


class QueueBroken(Exception):
    """The driver did what no honest driver does; the text says what."""


class Source(Protocol):
    """The queue that a chain was taken from: a `DeviceQueue`."""

    memory: Memory

    def fail(self, why: str) -> None:
        """It is broken, and so it stays."""

    def drop(self) -> int:
        """Return how many of its chains are in flight, after one that is answered to nobody."""


class Chain:
    """`readable` and `writable` are its pieces, in order; `id` names it to the driver, `slots` are those that it takes of a packed ring."""

    __slots__ = ("queue", "id", "slots", "readable", "writable", "size", "space")

    def __init__(self, queue: Source, id: int, slots: int = 1) -> None:
        self.queue, self.id, self.slots = queue, id, slots
        self.readable: list[Piece] = []
        self.writable: list[Piece] = []
        self.size = self.space = 0        # bytes of both

    def add(self, address: int, length: int, flags: int) -> None:
        """Take one more descriptor; what the device reads comes before what it writes (2.7.4.2)."""
        if not length:
            raise QueueBroken(f"a descriptor of 0 bytes at {address:#x}")
        if flags & WRITE:
            self.writable.append((address, length))
            self.space += length
        elif self.writable:
            raise QueueBroken(f"a readable descriptor at {address:#x} behind a writable one")
        else:
            self.readable.append((address, length))
            self.size += length

    def check(self) -> None:
        """Refuse a chain that is longer than any may be."""
        if self.size + self.space > MAX_BYTES:
            raise QueueBroken(f"a chain of {self.size + self.space:,} bytes; {MAX_BYTES:,} at most")

    def fetch(self, offset: int, length: int) -> bytes | None:
        """Return the readable bytes from `offset` on, fewer at the end; None, and the queue is broken, where memory refuses."""
        read = self.queue.memory.read
        try:
            return b"".join([read(*piece) for piece in cut(self.readable, offset, length)])
        except FAULTS as fault:
            self.queue.fail(f"a buffer that the device reads: {fault}")
            return None

    def store(self, offset: int, data: Buffer) -> bool:
        """Write `data` into the writable bytes from `offset` on, as far as they go; False, and the queue is broken, where memory refuses."""
        write, at = self.queue.memory.write, 0
        try:
            for address, n in cut(self.writable, offset, len(data)):
                write(address, data if n == len(data) else data[at:at + n])
                at += n
        except FAULTS as fault:
            self.queue.fail(f"a buffer that the device writes: {fault}")
            return False
        return True

    def save(self) -> State:
        """Return it as plain data."""
        return {"id": self.id, "slots": self.slots, "readable": self.readable, "writable": self.writable}

    def restore(self, state: State) -> "Chain":
        """Take back what `save` gave, and return the chain."""
        self.id, self.slots = state["id"], state["slots"]
        self.readable = [(address, length) for address, length in state["readable"]]
        self.writable = [(address, length) for address, length in state["writable"]]
        self.size, self.space = sum(n for _, n in self.readable), sum(n for _, n in self.writable)
        return self


def cut(pieces: Sequence[Piece], offset: int, length: int) -> list[Piece]:
    """Return the (address, bytes) that hold bytes [offset, offset + length) of `pieces` in a row."""
    found: list[Piece] = []
    for address, size in pieces:
        if offset >= size:
            offset -= size
            continue
        size -= offset
        if size >= length:
            if length:
                found.append((address + offset, length))
            break
        found.append((address + offset, size))
        offset, length = 0, length - size
    return found


def table(memory: Memory, address: int, length: int, layout: Layout = DESCRIPTOR) -> list[tuple[int, int, int, int]]:
    """Return the fields of each descriptor of an indirect table, which is read whole, once (2.7.5.3)."""
    count, rest = divmod(length, DESCRIPTOR.size)
    if rest or not 0 < count <= MAX_PIECES:
        raise QueueBroken(f"an indirect table of {length} bytes; 16 each for 1 to {MAX_PIECES:,} descriptors")
    return list(layout.struct.iter_unpack(memory.read(address, length)))
