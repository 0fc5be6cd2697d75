"""The driver's half of a split virtqueue.  Source: VIRTIO 1.2, 2.7; the order of stores is that of 2.7.13."""

import struct
from collections.abc import Sequence

from vmio.machine.contracts import Memory, Tag
from vmio.virtio.queue.driver import BadAnswer, DriverQueue
from vmio.virtio.queue.event import need_event
from vmio.virtio.queue.wire import DESCRIPTOR, INDIRECT, NEXT, NO_INTERRUPT, NO_NOTIFY, USED_ELEMENT

_U16 = struct.Struct("<H")
_descriptor, _used = DESCRIPTOR.struct.pack, USED_ELEMENT.struct.unpack


class SplitDriver(DriverQueue):
    """See `DriverQueue`; `in_order`: one used element may stand for all chains up to it (2.9)."""

    def __init__(self, memory: Memory, size: int, descriptors: int, driver: int, device: int, *, tables: int | None = None,
                 event_idx: bool = False, in_order: bool = False) -> None:
        super().__init__(memory, size, descriptors, driver, device, tables=tables, event_idx=event_idx)
        self.in_order = in_order
        self._free = list(range(size))[::-1]
        self._chains: dict[int, list[int]] = {}
        self._new: list[int] = []              # heads that were added, and not published
        self._available = self._seen = 0       # our index, and the device's, as far as we have come
        self._batch: list[int] = []            # heads of chains that one used element has brought back, in reverse
        self._written = 0                      # bytes of the last of them
        memory.write(driver, bytes(6 + 2 * size))

    def _add(self, pieces: Sequence[tuple[int, int, int]], slots: int, space: int, token: Tag) -> None:
        places = self._free[-slots:][::-1]
        del self._free[-slots:]
        head = places[0]
        if slots < len(pieces):
            table, length = self._write_table(head, pieces, DESCRIPTOR, chained=True)
            pieces = [(table, length, INDIRECT)]
        for place, following, (address, length, flags) in zip(places, [*places[1:], None], pieces):
            self.memory.write(self.descriptors + 16 * place, _descriptor(address, length, flags, 0) if following is None
                              else _descriptor(address, length, flags | NEXT, following))
        self.free -= slots
        self.waiting[head] = token, slots, space
        self._chains[head] = places
        self._new.append(head)

    def _publish(self) -> bool:
        """Heads first, then the index, then a look at what the device wants to be told."""
        old, memory, new = self._available, self.memory, self._new
        if not new:
            return False
        slot, ring = old % self.size, self.driver + 4
        first = min(len(new), self.size - slot)          # of them lie up to the ring's end, the others at its beginning
        memory.write(ring + 2 * slot, struct.pack(f"<{first}H", *new[:first]))
        if first < len(new):
            memory.write(ring, struct.pack(f"<{len(new) - first}H", *new[first:]))
        self._available = old + len(new) & 0xFFFF
        new.clear()
        memory.write(self.driver + 2, _U16.pack(self._available))
        if self.event_idx:
            event, = _U16.unpack(memory.read(self.device + 4 + 8 * self.size, 2))
            return need_event(event, self._available, old)
        return not _U16.unpack(memory.read(self.device, 2))[0] & NO_NOTIFY

    def _reap(self) -> tuple[Tag, int] | None:
        if not self._batch:
            index, = _U16.unpack(self.memory.read(self.device + 2, 2))
            if index == self._seen:
                return None
            if index - self._seen & 0xFFFF > len(self.waiting):
                raise BadAnswer(f"the device's index went from {self._seen} to {index}; it has {len(self.waiting)} chains")
            head, self._written = _used(self.memory.read(self.device + 4 + 8 * (self._seen % self.size), 8))
            self._batch = self._returned(head)
        head = self._batch.pop()
        self._seen = self._seen + 1 & 0xFFFF
        answer = self._back(head, None if self._batch else self._written)
        self._free += self._chains.pop(head)
        return answer

    def _returned(self, head: int) -> list[int]:
        """The chains that a used element brings back, in reverse: with `in_order` all that were lent before it too, and full."""
        if not self.in_order:
            return [head]
        if head not in self.waiting:
            raise BadAnswer(f"the device gave back chain {head}, which it doesn't have")
        lent = list(self.waiting)
        return lent[:lent.index(head) + 1][::-1]

    def sleep(self, after: int = 1) -> bool:
        """See `DriverQueue`."""
        if self.event_idx:
            self.memory.write(self.driver + 4 + 2 * self.size, _U16.pack(self._seen + after - 1 & 0xFFFF))
        else:
            self.memory.write(self.driver, _U16.pack(0))
        index, = _U16.unpack(self.memory.read(self.device + 2, 2))
        return index - self._seen & 0xFFFF >= (after if self.event_idx else 1)

    def awake(self) -> None:
        """See `DriverQueue`; with events, an old index alone asks for none (2.7.7.1), as Linux leaves it."""
        if not self.event_idx:
            self.memory.write(self.driver, _U16.pack(NO_INTERRUPT))
