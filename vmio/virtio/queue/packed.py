"""The device's half of a packed virtqueue: one ring that both sides write, each descriptor marked with whose it is.

A wrap counter, 1 in the first turn, is inverted at each turn.  A descriptor is available when its
AVAIL bit is the counter and its USED bit isn't, and used when both are.  Flags are read before, and
written after, everything else.  Source: VIRTIO 1.2, 2.8 "Packed Virtqueues".
"""

import struct
from collections.abc import Callable, Sequence

from vmio.machine.contracts import Memory
from vmio.virtio.queue.base import DeviceQueue
from vmio.virtio.queue.chain import FAULTS, Chain, QueueBroken, table
from vmio.virtio.queue.event import packed_event
from vmio.virtio.queue.wire import AT_DESCRIPTOR, AVAIL, DISABLE, ENABLE, EVENT, INDIRECT, MAX_PACKED, NEXT, PACKED, USED, WRAP

_U16 = struct.Struct("<H")
_BEFORE_FLAGS = PACKED.only("addr", "len", "id")
_LEN_AND_ID = PACKED.only("len", "id")
_LEN = PACKED.by_name["len"].offset
_FLAGS = PACKED.by_name["flags"].offset


def is_available(flags: int, wrap: int) -> bool:
    """Return whether a descriptor with these flags is the device's, in the turn `wrap` (2.8.1)."""
    return bool(flags & AVAIL) == bool(wrap) and bool(flags & USED) != bool(wrap)


def is_used(flags: int, wrap: int) -> bool:
    """Return whether a descriptor with these flags is the driver's again, in the turn `wrap` (2.8.1)."""
    return bool(flags & AVAIL) == bool(flags & USED) == bool(wrap)


def step(place: int, wrap: int, by: int, size: int) -> tuple[int, int]:
    """Return (place, wrap counter) `by` entries on: behind the last entry comes the first, in the next turn."""
    place += by
    return (place - size, wrap ^ 1) if place >= size else (place, wrap)


class PackedQueue(DeviceQueue):
    """See `DeviceQueue`; `size` need not be a power of two.

    It begins where `available` and `used` say, a place with its wrap counter in bit 15; 8000h for a fresh one.
    """

    def __init__(self, memory: Memory, size: int, descriptors: int, driver: int, device: int, *, indirect: bool = False,
                 event_idx: bool = False, in_order: bool = False, on_broken: Callable[[str], None] | None = None,
                 available: int = WRAP, used: int = WRAP) -> None:
        if not 0 < size <= MAX_PACKED:
            raise ValueError(f"packed queue: {size} entries; 1 to {MAX_PACKED}")
        for place in (available, used):
            if place & ~WRAP >= size:
                raise ValueError(f"packed queue: place {place & ~WRAP} in a ring of {size}")
        super().__init__(memory, size, descriptors, driver, device, indirect=indirect, event_idx=event_idx, in_order=in_order, on_broken=on_broken)
        self._at, self._wrap = available & ~WRAP, available >> 15
        self._used_at, self._used_wrap = used & ~WRAP, used >> 15
        self._passed: int | None = None       # entries used since the last decision about an interrupt; None: never decided
        self._slots = 0                       # entries of the chains in flight

    @property
    def position(self) -> tuple[int, int]:
        """See `DeviceQueue`; each a place with its wrap counter in bit 15."""
        return self._at | self._wrap << 15, self._used_at | self._used_wrap << 15

    # -- what is available (2.8.6) ------------------------------------------------------------------

    def _flags(self) -> int | None:
        """The flags of the next descriptor if it is ours, read once."""
        flags, = _U16.unpack(self.memory.read(self.descriptors + 16 * self._at + _FLAGS, 2))
        return flags if is_available(flags, self._wrap) else None

    def _more(self) -> bool:
        return self._flags() is not None

    def _next(self) -> Chain | None:
        flags = self._flags()
        if flags is None:
            return None
        address, length, id = _BEFORE_FLAGS.unpack(self.memory.read(self.descriptors + 16 * self._at, 14))
        chain, slots, at = Chain(self, id), 1, self._at
        while True:
            if flags & INDIRECT:
                self._indirect(chain, address, length, flags)
                break
            chain.add(address, length, flags)
            if not flags & NEXT:
                break
            if slots == self.size:
                raise QueueBroken(f"a chain of more than {self.size} descriptors, in a ring of {self.size}")
            at = (at + 1) % self.size
            address, length, id, flags = PACKED.struct.unpack(self.memory.read(self.descriptors + 16 * at, 16))
            slots += 1
        if self._slots + slots > self.size:
            raise QueueBroken(f"{self._slots + slots} descriptors at once in a ring of {self.size}")
        chain.check()
        chain.id, chain.slots = id, slots          # the id is the last descriptor's (2.8.6)
        self._slots += slots
        self._at, self._wrap = step(self._at, self._wrap, slots, self.size)
        return chain

    def _indirect(self, chain: Chain, address: int, length: int, flags: int) -> None:
        """All entries of an indirect table are the chain, in their order; of their flags only WRITE counts (2.8.7)."""
        if not self.indirect:
            raise QueueBroken(f"an indirect table at {address:#x}, which was not agreed on")
        if flags & NEXT:
            raise QueueBroken(f"a descriptor that is indirect and has a next one, at {address:#x}")
        for at, size, _, flags in table(self.memory, address, length, PACKED):
            if flags & INDIRECT:
                raise QueueBroken(f"an indirect table inside an indirect table, at {at:#x}")
            chain.add(at, size, flags)

    def again(self, chains: Sequence[Sequence[tuple[int, int, int, int]]]) -> list[Chain]:
        """Return chains that were taken before this queue began and not answered, by copies of their descriptors (as in PACKED)."""
        found: list[Chain] = []
        for rows in chains:
            try:
                chain = Chain(self, rows[-1][2] if rows else 0, len(rows))
                for address, length, _, flags in rows:
                    if flags & INDIRECT:
                        self._indirect(chain, address, length, flags)
                    else:
                        chain.add(address, length, flags)
                chain.check()
                found.append(chain)
            except QueueBroken as why:
                self.fail(str(why))
            except FAULTS as fault:
                self.fail(f"a chain that was under way: {fault}")
        self.in_flight += len(found)
        self._slots += sum(chain.slots for chain in found)
        return found

    # -- what is used (2.8.8) -----------------------------------------------------------------------

    def _use(self, chain: Chain, written: int) -> None:
        """One element at the next place, its flags last; the rest of the chain's places are passed over."""
        at = self.descriptors + 16 * self._used_at
        self.memory.write(at + _LEN, _LEN_AND_ID.pack(written, chain.id)[_LEN:])
        self.memory.write(at + _FLAGS, _U16.pack(AVAIL | USED if self._used_wrap else 0))
        self._used_at, self._used_wrap = step(self._used_at, self._used_wrap, chain.slots, self.size)
        self._slots -= chain.slots
        if self._passed is not None:
            self._passed += chain.slots

    # -- who is told when (2.8.9, 2.8.10) ---------------------------------------------------------------

    def _wanted(self) -> bool:
        passed, self._passed = self._passed, 0
        place, flags = EVENT.struct.unpack(self.memory.read(self.driver, EVENT.size))
        if flags != AT_DESCRIPTOR or not self.event_idx:
            return flags != DISABLE
        if passed is None:
            return True
        return self.rule(packed_event(place, self._used_wrap, self.size), self._used_at, self._used_at - passed)

    def _suppress(self, kicks: bool) -> None:
        """Yes, no, or, with events, from this place on; the place is written before the flags that make it count."""
        if kicks and self.event_idx:
            self.memory.write(self.device, EVENT.pack(place=self.position[0], flags=AT_DESCRIPTOR))
        else:
            self.memory.write(self.device + 2, _U16.pack(ENABLE if kicks else DISABLE))
