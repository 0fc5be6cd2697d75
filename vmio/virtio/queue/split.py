"""The device's half of a split virtqueue: a table of descriptors, a ring of heads that come, a ring of heads that go.

Who may write what: the driver the table and the available ring, the device the used ring.  The
driver may be hostile: what is its own is read once, checked, and used from the private copy.
Source: VIRTIO 1.2, 2.7 "Split Virtqueues".
"""

import struct
from collections.abc import Callable, Sequence

from vmio.machine.contracts import Memory
from vmio.virtio.queue.base import DeviceQueue
from vmio.virtio.queue.chain import FAULTS, Chain, QueueBroken, table
from vmio.virtio.queue.wire import DESCRIPTOR, INDIRECT, MAX_SPLIT, NEXT, NO_INTERRUPT, NO_NOTIFY, USED_ELEMENT

_U16 = struct.Struct("<H")
_u16, _unpack, _used = _U16.pack, DESCRIPTOR.struct.unpack, USED_ELEMENT.struct.pack


class SplitQueue(DeviceQueue):
    """See `DeviceQueue`; `size` is a power of two.  It begins where `available` and `used` say, 0 for a fresh one."""

    def __init__(self, memory: Memory, size: int, descriptors: int, driver: int, device: int, *, indirect: bool = False,
                 event_idx: bool = False, in_order: bool = False, on_broken: Callable[[str], None] | None = None,
                 available: int = 0, used: int = 0) -> None:
        if not 0 < size <= MAX_SPLIT or size & size - 1:
            raise ValueError(f"split queue: {size} entries; a power of two up to {MAX_SPLIT}")
        super().__init__(memory, size, descriptors, driver, device, indirect=indirect, event_idx=event_idx, in_order=in_order, on_broken=on_broken)
        self._available, self._used = available, used
        self._told: int | None = None         # the used index at the last decision about an interrupt
        self._heads: list[int] = []           # those that were published together, the next one last

    @property
    def position(self) -> tuple[int, int]:
        """See `DeviceQueue`."""
        return self._available, self._used

    # -- the available ring (2.7.6) ---------------------------------------------------------------

    def _index(self) -> int:
        """How many heads are new: the driver's index, read once, may be at most one turn ahead."""
        index, = _U16.unpack(self.memory.read(self.driver + 2, 2))
        new = index - self._available & 0xFFFF
        if new > self.size:
            raise QueueBroken(f"the available index went from {self._available} to {index}; a ring of {self.size} takes {self.size} more at most")
        return new

    def _more(self) -> bool:
        return bool(self._heads) or bool(self._index())

    def _next(self) -> Chain | None:
        if not self._heads:
            new = self._index()
            if not new:
                return None
            self._heads = self._fetch(self._available % self.size, new)
        if self.in_flight >= self.size:
            raise QueueBroken(f"{self.in_flight + 1} chains at once in a ring of {self.size}")
        head = self._heads.pop()
        self._available = self._available + 1 & 0xFFFF
        return self._chain(head)

    def _fetch(self, slot: int, new: int) -> list[int]:
        """`new` heads from `slot` on, over the ring's end, in reverse."""
        first = min(new, self.size - slot)
        heads = self.memory.read(self.driver + 4 + 2 * slot, 2 * first)
        if first < new:
            heads += self.memory.read(self.driver + 4, 2 * (new - first))
        return list(struct.unpack(f"<{new}H", heads))[::-1]

    # -- the descriptors (2.7.5) --------------------------------------------------------------------

    def _chain(self, head: int) -> Chain:
        """Follow a chain from `head`: no longer than the table, in it, and an indirect table only at its end."""
        chain, memory, at, left = Chain(self, head), self.memory, head, self.size
        while True:
            if at >= self.size:
                raise QueueBroken(f"descriptor {at} in a table of {self.size}")
            if not left:
                raise QueueBroken(f"the chain from descriptor {head} is longer than the table, so it goes round in a loop")
            left -= 1
            address, length, flags, following = _unpack(memory.read(self.descriptors + 16 * at, 16))
            if flags & INDIRECT:
                self._indirect(chain, address, length, flags)
                break
            chain.add(address, length, flags)
            if not flags & NEXT:
                break
            at = following
        chain.check()
        return chain

    def _indirect(self, chain: Chain, address: int, length: int, flags: int) -> None:
        """Follow the chain in an indirect table, which is read whole, once (2.7.5.3)."""
        if not self.indirect:
            raise QueueBroken(f"an indirect table at {address:#x}, which was not agreed on")
        if flags & NEXT:
            raise QueueBroken(f"a descriptor that is indirect and has a next one, at {address:#x}")
        entries, at = table(self.memory, address, length), 0
        count = len(entries)
        for _ in range(count):
            address, length, flags, following = entries[at]
            if flags & INDIRECT:
                raise QueueBroken(f"an indirect table inside an indirect table, at {address:#x}")
            chain.add(address, length, flags)
            if not flags & NEXT:
                return
            if following >= count:
                raise QueueBroken(f"descriptor {following} in an indirect table of {count}")
            at = following
        raise QueueBroken(f"the chain in an indirect table of {count} goes round in a loop")

    def again(self, heads: Sequence[int]) -> list[Chain]:
        """Return the chains of heads that were taken before this queue began and not answered; a broken one ends it, as in `take`."""
        found: list[Chain] = []
        for head in heads:
            try:
                found.append(self._chain(head))
            except QueueBroken as why:
                self.fail(str(why))
            except FAULTS as fault:
                self.fail(f"a chain that was under way: {fault}")
        self.in_flight += len(found)
        return found

    # -- the used ring (2.7.8) ----------------------------------------------------------------------

    def _use(self, chain: Chain, written: int) -> None:
        """First the element, then the index: who sees the index finds the element."""
        self.memory.write(self.device + 4 + 8 * (self._used % self.size), _used(chain.id, written))
        self._used = self._used + 1 & 0xFFFF
        self.memory.write(self.device + 2, _u16(self._used))

    # -- who is told when (2.7.7, 2.7.10) ---------------------------------------------------------------

    def _wanted(self) -> bool:
        old, self._told = self._told, self._used
        if not self.event_idx:
            return not _U16.unpack(self.memory.read(self.driver, 2))[0] & NO_INTERRUPT
        event, = _U16.unpack(self.memory.read(self.driver + 4 + 2 * self.size, 2))
        return old is None or self.rule(event, self._used, old)

    def _suppress(self, kicks: bool) -> None:
        """A flag that says no, or, with events, the index of the next chain; an old index alone means no."""
        if not self.event_idx:
            self.memory.write(self.device, _u16(0 if kicks else NO_NOTIFY))
        elif kicks:
            self.memory.write(self.device + 4 + 8 * self.size, _u16(self._available))
