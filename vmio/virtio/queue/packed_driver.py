"""The driver's half of a packed virtqueue.  Source: VIRTIO 1.2, 2.8; the order of stores is that of 2.8.21."""

import struct
from collections.abc import Sequence

from vmio.machine.contracts import Memory, Tag
from vmio.virtio.queue.driver import DriverQueue
from vmio.virtio.queue.event import need_event, packed_event
from vmio.virtio.queue.packed import is_used, step
from vmio.virtio.queue.wire import AT_DESCRIPTOR, AVAIL, DISABLE, ENABLE, EVENT, INDIRECT, NEXT, PACKED, USED, WRAP

_U16 = struct.Struct("<H")
_FLAGS = PACKED.by_name["flags"].offset
_LEN_AND_ID = PACKED.only("len", "id")


class PackedDriver(DriverQueue):
    """See `DriverQueue`."""

    def __init__(self, memory: Memory, size: int, descriptors: int, driver: int, device: int, *, tables: int | None = None,
                 event_idx: bool = False) -> None:
        super().__init__(memory, size, descriptors, driver, device, tables=tables, event_idx=event_idx)
        self._at, self._wrap = 0, 1             # where the next descriptor goes
        self._used_at, self._used_wrap = 0, 1   # where the next used one comes
        self._ids = list(range(size))[::-1]
        self._heads: list[tuple[int, int]] = []      # (address of flags, flags) of chains that were added, and not published
        self._added = 0                         # their descriptors

    def _add(self, pieces: Sequence[tuple[int, int, int]], slots: int, space: int, token: Tag) -> None:
        """All descriptors of a chain but the flags of its first: those come last, with `publish`."""
        id = self._ids.pop()
        if slots < len(pieces):
            table, length = self._write_table(id, pieces, PACKED, chained=False)
            pieces = [(table, length, INDIRECT)]
        for i, (address, length, flags) in enumerate(pieces):
            flags |= NEXT * (i + 1 < slots) | (AVAIL if self._wrap else USED)
            at = self.descriptors + 16 * self._at
            packed = PACKED.struct.pack(address, length, id, flags)
            if i:
                self.memory.write(at, packed)
            else:
                self.memory.write(at, packed[:_FLAGS])
                self._heads.append((at + _FLAGS, flags))
            self._at, self._wrap = step(self._at, self._wrap, 1, self.size)
        self.free -= slots
        self._added += slots
        self.waiting[id] = token, slots, space

    def _publish(self) -> bool:
        for at, flags in self._heads:
            self.memory.write(at, _U16.pack(flags))
        added, self._added = self._added, 0
        self._heads.clear()
        if not added:
            return False
        place, flags = EVENT.struct.unpack(self.memory.read(self.device, EVENT.size))
        if flags != AT_DESCRIPTOR:
            return flags != DISABLE
        return need_event(packed_event(place, self._wrap, self.size), self._at, self._at - added)

    def _reap(self) -> tuple[Tag, int] | None:
        at = self.descriptors + 16 * self._used_at
        if not self._is_back(self._used_at, self._used_wrap):
            return None
        written, id = _LEN_AND_ID.unpack(self.memory.read(at, _LEN_AND_ID.size))
        slots = self.waiting[id][1] if id in self.waiting else 0
        answer = self._back(id, written)
        self._ids.append(id)
        self._used_at, self._used_wrap = step(self._used_at, self._used_wrap, slots, self.size)
        return answer

    def _is_back(self, place: int, wrap: int) -> bool:
        return is_used(_U16.unpack(self.memory.read(self.descriptors + 16 * place + _FLAGS, 2))[0], wrap)

    def sleep(self, after: int = 1) -> bool:
        """See `DriverQueue`; `after` counts chains of one descriptor each."""
        place, wrap = step(self._used_at, self._used_wrap, after - 1, self.size)
        if self.event_idx:
            self.memory.write(self.driver, EVENT.struct.pack(place | WRAP * wrap, AT_DESCRIPTOR))
        else:
            self.memory.write(self.driver + 2, _U16.pack(ENABLE))
            place, wrap = self._used_at, self._used_wrap
        return self._is_back(place, wrap)

    def awake(self) -> None:
        """See `DriverQueue`."""
        self.memory.write(self.driver + 2, _U16.pack(DISABLE))
