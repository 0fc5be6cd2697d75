"""What is under way, noted in memory that outlives us: another back end answers what this one has taken and not answered.

The front end keeps the memory and gives it to the back end that comes next.  Each queue has a region of its own in it: a
head, and an entry for each descriptor.  The order in which fields are written decides what can be told after a sudden end;
it is that of QEMU, docs/interop/vhost-user.rst, "Inflight I/O tracking".
"""

from collections.abc import Callable
from typing import TypeAlias

from vmio.machine.layout import Layout
from vmio.oracle.vhost_user.sharing.file import SharedFile
from vmio.oracle.vhost_user.wire import PACKED_ENTRY, PACKED_QUEUE, SPLIT_ENTRY, SPLIT_QUEUE
from vmio.virtio.queue import Chain, PackedQueue, SplitQueue
from vmio.virtio.queue.packed import is_used, step
from vmio.virtio.queue.wire import PACKED, WRAP

ALIGNMENT = 64                  # bytes, of the regions
_MADE = 1                       # version of a region that was begun
_KEPT = ("free_head", "used_idx", "used_wrap")     # fields of which there is an old one, too: of before the answer that is being written
Raw: TypeAlias = tuple[int, int, int, int]          # a descriptor: address, bytes, id, flags


def region_bytes(packed: bool, size: int) -> int:
    """Return the bytes of one queue's region."""
    head, entry = (PACKED_QUEUE, PACKED_ENTRY) if packed else (SPLIT_QUEUE, SPLIT_ENTRY)
    return -(-(head.size + size * entry.size) // ALIGNMENT) * ALIGNMENT


class Region:
    """One queue's region: fields of its head and of its entries, by name."""

    head: Layout
    entry: Layout

    def __init__(self, file: SharedFile, number: int, packed: bool, size: int) -> None:
        """ValueError if `file` has no region for queue `number`, or it is of another size."""
        self.file, self.size = file, size
        self.at, length = number * region_bytes(packed, size), region_bytes(packed, size)
        if self.at + length > file.size:
            raise ValueError(f"ring {number}: the memory for what is under way has {file.size:,} bytes; {self.at + length:,} are needed for {size} entries")
        self._counter = 0
        self._entries: dict[int, int] = {}              # {id of a chain that is under way: its entry}
        self.found = self.get("version") == _MADE       # it was begun by a back end before us
        if not self.found:
            file.write(self.at, bytes(length))
            self._begin()
            self.set("desc_num", size)
            self.set("version", _MADE)
        elif self.get("desc_num") != size:
            raise ValueError(f"ring {number} has {size} entries; what is under way was noted for {self.get('desc_num')}")

    def _begin(self) -> None:
        """Write what is not zero in a new region."""

    def get(self, name: str, entry: int = -1) -> int:
        """Return a field of the head, or of an entry."""
        at, size = self._field(name, entry)
        return int.from_bytes(self.file.read(at, size), "little")

    def set(self, name: str, value: int, entry: int = -1) -> None:
        """Store a field of the head, or of an entry."""
        at, size = self._field(name, entry)
        self.file.write(at, value.to_bytes(size, "little"))

    def _field(self, name: str, entry: int) -> tuple[int, int]:
        if entry < 0:
            at, size = self.head.at(name)
            return self.at + at, size
        at, size = self.entry.at(name)
        return self.at + self.head.size + min(entry, self.size - 1) * self.entry.size + at, size

    def _count(self) -> int:
        self._counter += 1
        return self._counter

    def _under_way(self) -> list[int]:
        """The entries that are under way, oldest first."""
        found = [entry for entry in range(self.size) if self.get("inflight", entry)]
        found.sort(key=lambda entry: self.get("counter", entry))
        self._counter = max((self.get("counter", entry) for entry in found), default=0)
        return found


class SplitRegion(Region):
    """Of a split queue: an entry for each head."""

    head, entry = SPLIT_QUEUE, SPLIT_ENTRY

    def recover(self, used: int) -> list[int]:
        """Return the heads that are to be served again, oldest first; `used` is the used ring's index."""
        batch, entry = used - self.get("used_idx") & 0xFFFF, self.get("last_batch_head")
        for _ in range(min(batch, self.size)):      # the guest has these answers; it was the noting that was cut off
            self.set("inflight", 0, entry)
            entry = self.get("next", entry)
        self.set("used_idx", used)
        return self._under_way()

    def taken(self, chain: Chain, queue: SplitQueue) -> None:
        """Note that a chain is under way."""
        self.set("counter", self._count(), chain.id)
        self.set("inflight", 1, chain.id)

    def answers(self, chain: Chain, queue: SplitQueue) -> None:
        """Note which chain is about to be answered."""
        self.set("next", self.get("last_batch_head"), chain.id)
        self.set("last_batch_head", chain.id)

    def answered(self, chain: Chain, queue: SplitQueue) -> None:
        """Note that it is."""
        self.set("inflight", 0, chain.id)
        self.set("used_idx", queue.position[1])


class PackedRegion(Region):
    """Of a packed queue: its descriptors are overwritten by answers, so copies of them are kept, in entries that form lists."""

    head, entry = PACKED_QUEUE, PACKED_ENTRY

    def _begin(self) -> None:
        for entry in range(self.size):
            self.set("next", entry + 1, entry)          # behind the last one is none: no such entry
        for name in ("used_wrap", "old_used_wrap"):
            self.set(name, 1)

    @property
    def used(self) -> int:
        """Where the next answer goes, its wrap counter in bit 15."""
        return self.get("used_idx") | (self.get("used_wrap") & 1) << 15

    def recover(self, flags: Callable[[int], int]) -> list[list[Raw]]:
        """Return the descriptors of each chain that is to be served again, oldest first.

        `flags(place)` are those of a descriptor as the ring has it now: of an answer that was being written when it all ended they
        tell whether the guest has it.
        """
        if self.get("used_idx") != self.get("old_used_idx") and is_used(flags(self.get("old_used_idx")), self.get("old_used_wrap")):
            self._keep()
        for name in _KEPT:
            self.set(name, self.get(f"old_{name}"))
        entry = self.get("free_head")
        for _ in range(self.size):                      # what is free is not under way, whatever was being noted of it
            if entry >= self.size:
                break
            self.set("inflight", 0, entry)
            entry = self.get("next", entry)
        return [self._list(entry) for entry in self._under_way()]

    def _keep(self) -> None:
        for name in _KEPT:
            self.set(f"old_{name}", self.get(name))

    def _list(self, entry: int) -> list[Raw]:
        """The descriptors that were kept of a chain, by its first entry."""
        found, at = [], entry
        for _ in range(min(self.get("num", entry), self.size)):
            found.append((self.get("addr", at), self.get("len", at), self.get("id", at), self.get("flags", at)))
            at = self.get("next", at)
        self._entries[found[-1][2] if found else -1] = entry
        return found

    def taken(self, chain: Chain, queue: PackedQueue) -> None:
        """Note that a chain is under way, with its descriptors, which the ring has just behind it."""
        head = free = self.get("old_free_head")
        self._entries[chain.id] = head
        for n in range(chain.slots):
            if not n:
                self.set("num", 0, head)
                self.set("counter", self._count(), head)
                self.set("inflight", 1, head)
            self.set("last", free, head)
            self.set("num", n + 1, head)
            place = ((queue.position[0] & ~WRAP) - chain.slots + n) % self.size
            kept = PACKED.parse(queue.memory.read(queue.descriptors + PACKED.size * place, PACKED.size))
            for name in ("addr", "len", "id", "flags"):
                self.set(name, getattr(kept, name), free)
            free = self.get("next", free)
            self.set("free_head", free)
        self.set("old_free_head", free)

    def answers(self, chain: Chain, queue: PackedQueue) -> None:
        """Note which chain is about to be answered, and where the answer after it will go."""
        entry, used = self._entries[chain.id], queue.position[1]
        self.set("next", self.get("free_head"), self.get("last", entry))
        self.set("free_head", entry)
        place, wrap = step(used & ~WRAP, used >> 15, chain.slots, self.size)
        self.set("used_idx", place)
        self.set("used_wrap", wrap)

    def answered(self, chain: Chain, queue: PackedQueue) -> None:
        """Note that it is."""
        self.set("inflight", 0, self._entries.pop(chain.id))
        self._keep()
