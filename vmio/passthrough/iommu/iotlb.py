"""The IOTLB: translations that the IOMMU has made before.

It is a cache that nobody keeps coherent.  An unmapped page stays usable
for the device until software says `invalidate`: that is the price of speed, and
the window of danger of whoever says it late.
Source: Intel VT-d specification 6.2.4 "IOTLB", 6.5.2.3 "IOTLB Invalidate".
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

LEVELS = 3   # leaves of 4 KiB, 2 MiB and 1 GiB
_REQUESTER, _LEVEL = 40, 56      # where in a key; the page number is below


class Translation(NamedTuple):
    """What is kept of one walk: `target` is the leaf's SPA, `low_mask` its size less one."""

    domain: int
    requester: int
    address: int
    target: int
    low_mask: int
    permissions: int


class Iotlb:
    """Room for `entries` translations, the least recently used goes first; a large page takes one entry."""

    def __init__(self, entries: int = 64) -> None:
        if not 1 <= entries <= 1 << 20:
            raise ValueError(f"iotlb: entries {entries}; 1 to {1 << 20}")
        self.entries = entries
        self.hits = self.misses = self.evictions = self.invalidations = 0
        self._cache: OrderedDict[int, Translation] = OrderedDict()      # level, requester and page number in one integer -> Translation
        self._newest: int | None = None
        self._at_level = [0] * LEVELS
        self._probes: tuple[tuple[int, int], ...] = ()   # (bits of the level in a key, shift to the page number) where there is something

    def __len__(self) -> int:
        return len(self._cache)

    def __iter__(self) -> Iterator[Translation]:
        return iter(self._cache.values())

    def lookup(self, requester: int, address: int) -> Translation | None:
        """Return the `Translation` for a requester's address, or None; counts hit or miss."""
        if address >> _REQUESTER + 12:     # a longer page number would run into the requester's bits
            self.misses += 1
            return None
        requester <<= _REQUESTER
        for level, shift in self._probes:
            key = level | requester | address >> shift
            found = self._cache.get(key)
            if found is not None:
                if key != self._newest:
                    self._cache.move_to_end(key)
                    self._newest = key
                self.hits += 1
                return found
        self.misses += 1
        return None

    def insert(self, domain: int, requester: int, address: int, level: int, target: int, permissions: int) -> Translation:
        """Keep a walk that ended in a leaf at `level` (0: 4 KiB); returns the `Translation`."""
        low_mask = (1 << 12 + 9 * level) - 1
        new = Translation(domain, requester, address & ~low_mask, target & ~low_mask, low_mask, permissions)
        key = level << _LEVEL | requester << _REQUESTER | address >> 12 + 9 * level
        if key not in self._cache:
            if len(self._cache) >= self.entries:
                old, _ = self._cache.popitem(last=False)
                self._count(old >> _LEVEL, -1)
                self.evictions += 1
            self._count(level, 1)
        self._cache[key] = new
        self._cache.move_to_end(key)
        self._newest = key
        return new

    def _count(self, level: int, change: int) -> None:
        self._at_level[level] += change
        if self._at_level[level] == max(change, 0):      # the first of its kind came, or the last went
            self._probes = tuple((n << _LEVEL, 12 + 9 * n) for n in range(LEVELS) if self._at_level[n])

    def invalidate(self, domain: int | None = None, address: int | None = None, length: int = 0) -> int:
        """Forget everything, a domain, or what touches [address, address+length) of it; how many went."""
        self.invalidations += 1
        gone = [key for key, entry in self._cache.items() if domain is None or entry.domain == domain and (
            address is None or entry.address < address + length and address <= entry.address + entry.low_mask)]
        for key in gone:
            del self._cache[key]
            self._count(key >> _LEVEL, -1)
        self._newest = None
        return len(gone)
