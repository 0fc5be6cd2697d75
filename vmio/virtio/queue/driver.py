"""What the driver's halves of split and packed queues have in common: tokens of what is lent, checked when it comes back.

A host may be hostile too: what the device says is read once, and an answer to nothing is `BadAnswer`.
"""

from collections.abc import Sequence

from vmio.machine.contracts import Memory, Tag
from vmio.machine.layout import Layout
from vmio.virtio.queue.chain import Piece
from vmio.virtio.queue.wire import NEXT, WRITE


class BadAnswer(Exception):
    """The device gave back what it was not lent."""


class QueueFull(Exception):
    """Not enough descriptors are free; nothing was changed."""


class DriverQueue:
    """The driver's half of a queue of `size` entries in `memory`, whose three parts are zeroed.

    `tables` is where indirect tables may be, `TABLE_BYTES` for each of `size`; None, and chains lie in the ring.
    `event_idx` is a feature that driver and device have agreed on.
    """

    LONGEST = 128                    # descriptors of a chain in a table
    TABLE_BYTES = 16 * LONGEST

    def __init__(self, memory: Memory, size: int, descriptors: int, driver: int, device: int, *, tables: int | None = None,
                 event_idx: bool = False) -> None:
        self.memory, self.size = memory, size
        self.descriptors, self.driver, self.device = descriptors, driver, device
        self.tables, self.event_idx = tables, event_idx
        self.free = size                     # descriptors of the ring
        self.waiting: dict[int, tuple[Tag, int, int]] = {}     # {head or id: (token, descriptors, writable bytes)}
        self.sent = self.kicks = 0           # chains that were lent, and how often the device wanted to be told

    def slots(self, pieces: int) -> int:
        """Return how many descriptors of the ring a chain of so many takes: one, if it goes into a table."""
        return 1 if self.tables is not None and 1 < pieces <= self.LONGEST else pieces

    def add(self, readable: Sequence[Piece], writable: Sequence[Piece], token: Tag) -> None:
        """Lend a chain: pieces (address, bytes) that the device reads, then such that it writes.  `QueueFull`: later."""
        pieces = [(address, length, 0) for address, length in readable]
        space = 0
        for address, length in writable:
            pieces.append((address, length, WRITE))
            space += length
        if not pieces:
            raise ValueError("a chain of no pieces")
        slots = self.slots(len(pieces))
        if slots > self.free:
            raise QueueFull(f"{slots} descriptors needed, {self.free} free")
        self.sent += 1
        self._add(pieces, slots, space, token)

    def publish(self) -> bool:
        """Let the device see what was added.  Returns whether it must be kicked."""
        wanted = self._publish()
        self.kicks += wanted
        return wanted

    def reap(self) -> tuple[Tag, int] | None:
        """Return the (token, bytes written) of the next chain that has come back, or None.  `BadAnswer`: it was never lent."""
        return self._reap()

    def sleep(self, after: int = 1) -> bool:
        """Ask for an interrupt when `after` more chains are back; True if so many are there already: nobody will interrupt."""
        raise NotImplementedError

    def awake(self) -> None:
        """Ask for no interrupts: we are looking."""
        raise NotImplementedError

    def _back(self, id: int, written: int | None) -> tuple[Tag, int]:
        """The (token, bytes written) of a chain that has come back, None: it is full; its descriptors are free again."""
        if id not in self.waiting:
            raise BadAnswer(f"the device gave back chain {id}, which it doesn't have")
        token, slots, space = self.waiting.pop(id)
        self.free += slots
        if written is not None and written > space:
            raise BadAnswer(f"the device says that it wrote {written} bytes to chain {id}, which has room for {space}")
        return token, space if written is None else written

    def _write_table(self, number: int, pieces: Sequence[tuple[int, int, int]], layout: Layout, chained: bool) -> tuple[int, int]:
        """(address, bytes) of the indirect table `number` with these pieces; with `chained` each names its next."""
        assert self.tables is not None
        address, size, pack = self.tables + self.TABLE_BYTES * number, 16 * len(pieces), layout.struct.pack_into
        table, at = bytearray(size), 0
        for buffer, length, flags in pieces:
            following = at + 16
            if not chained:
                pack(table, at, buffer, length, 0, flags)
            elif following < size:
                pack(table, at, buffer, length, flags | NEXT, following // 16)
            else:
                pack(table, at, buffer, length, flags, 0)
            at = following
        self.memory.write(address, table)
        return address, size

    def _add(self, pieces: Sequence[tuple[int, int, int]], slots: int, space: int, token: Tag) -> None:
        raise NotImplementedError

    def _publish(self) -> bool:
        raise NotImplementedError

    def _reap(self) -> tuple[Tag, int] | None:
        raise NotImplementedError
