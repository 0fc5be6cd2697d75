"""The IOTLB: translations that the IOMMU has made before.

It is a cache that nobody keeps coherent.  An unmapped page stays usable
for the device until software says `invalidate`: that is the price of speed, and
the window of danger of whoever says it late.
Source: Intel VT-d specification 6.2.4 "IOTLB", 6.5.1.2 "IOTLB Invalidate".
"""

from collections import OrderedDict
from typing import NamedTuple

LEVELS = 3   # leaves of 4 KiB, 2 MiB and 1 GiB


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

    def __init__(self, entries=64):
        if not 1 <= entries <= 1 << 20:
            raise ValueError(f"iotlb: entries {entries}; 1 to {1 << 20}")
        self.entries = entries
        self.hits = self.misses = self.evictions = self.invalidations = 0
        self._cache = OrderedDict()
        self._at_level = [0] * LEVELS

    def __len__(self):
        return len(self._cache)

    def __iter__(self):
        return iter(self._cache.values())

    def lookup(self, requester, address):
        """The `Translation` for a requester's address, or None; counts hit or miss."""
        cache = self._cache
        for level, count in enumerate(self._at_level):
            if count:
                key = (requester, level, address >> 12 + 9 * level)
                found = cache.get(key)
                if found is not None:
                    cache.move_to_end(key)
                    self.hits += 1
                    return found
        self.misses += 1
        return None

    def insert(self, domain, requester, address, level, target, permissions):
        """Keep a walk that ended in a leaf at `level` (0: 4 KiB); returns the `Translation`."""
        low_mask = (1 << 12 + 9 * level) - 1
        new = Translation(domain, requester, address & ~low_mask, target & ~low_mask, low_mask, permissions)
        key = (requester, level, address >> 12 + 9 * level)
        if key not in self._cache:
            if len(self._cache) >= self.entries:
                (_, old_level, _), _ = self._cache.popitem(last=False)
                self._at_level[old_level] -= 1
                self.evictions += 1
            self._at_level[level] += 1
        self._cache[key] = new
        return new

    def invalidate(self, domain=None, address=None, length=0):
        """Forget everything, a domain, or what touches [address, address+length) of it; how many went."""
        self.invalidations += 1
        before = len(self._cache)
        if domain is None:
            self._cache.clear()
        else:
            end = None if address is None else address + length
            for key, entry in list(self._cache.items()):
                if entry.domain == domain and (
                        address is None or entry.address < end and address <= entry.address + entry.low_mask):
                    del self._cache[key]
        self._at_level = [0] * LEVELS
        for _, level, _ in self._cache:
            self._at_level[level] += 1
        return before - len(self._cache)
