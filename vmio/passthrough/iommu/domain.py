"""An IOMMU domain: one address space for the devices of one owner, behind one page table.

The table is the class that also makes a guest's SLAT table.  `map` and `unmap`
write memory and nothing else: what the IOTLB still remembers is the business
of whoever unmaps (`Iommu.invalidate`).
Source: Intel VT-d specification 3.2 "Domains and Address Translation".
"""

from bisect import bisect_right
from collections.abc import Sequence

from vmio.hypervisor.guest import Guest
from vmio.machine.memory import PAGE, HostMemory
from vmio.machine.pagetable import READ, WRITE, PageTable


class Domain:
    """Domain `id` over host memory.  Made by `Iommu.domain()`.

    `allowed` lists the (SPA, bytes) that may be mapped; None allows all of the
    host's memory.  `requesters` are the functions attached to it.
    """

    def __init__(self, memory: HostMemory, id: int, levels: int, allowed: Sequence[tuple[int, int]] | None = None) -> None:
        self.id, self.levels = id, levels
        self.allowed = None if allowed is None else list(allowed)
        self.table = PageTable(memory, levels)
        self.requesters: set[int] = set()
        self.maps = self.unmaps = 0
        self._starts: list[int] = []          # what is mapped: sorted runs [start, end), none overlap
        self._ends: list[int] = []

    def map(self, iova: int, spa: int, length: int, permissions: int = READ | WRITE) -> None:
        """Let the domain's devices reach SPA [spa, spa+length) at [iova, ...), all multiples of 4,096.

        ValueError where something is mapped already, for memory that is not the
        owner's, and for what the table cannot hold.
        """
        if not 0 < permissions <= READ | WRITE:
            raise ValueError(f"domain {self.id}: permissions {permissions}; 1 (read), 2 (write) or 3")
        if self.allowed is not None and not any(at <= spa and spa + length <= at + n for at, n in self.allowed):
            raise ValueError(f"domain {self.id}: SPA {spa:#x}, {length:#x} bytes, is not its owner's memory")
        at = bisect_right(self._starts, iova)
        if at and self._ends[at - 1] > iova or at < len(self._starts) and self._starts[at] < iova + length:
            raise ValueError(f"domain {self.id}: something is mapped in [{iova:#x}, {iova + length:#x}) already")
        self.table.map(iova, spa, length, permissions)
        self._starts.insert(at, iova)
        self._ends.insert(at, iova + length)
        self.maps += 1

    def map_guest(self, guest: Guest, permissions: int = READ | WRITE) -> None:
        """Map all of a guest's RAM at its guest-physical addresses: what its driver calls an address, the device does."""
        for gpa, spa, length in guest.backing.runs():
            self.map(gpa, spa, length, permissions)

    def unmap(self, iova: int, length: int) -> None:
        """Forget [iova, iova+length) in the table, NOT in the IOTLB; pages that were not mapped are no error."""
        if iova % PAGE or length % PAGE or length < 0:
            raise ValueError(f"domain {self.id}: unmap {iova:#x}, {length:#x} bytes: multiples of {PAGE} only")
        end = iova + length
        at = max(bisect_right(self._starts, iova) - 1, 0)
        while at < len(self._starts) and self._starts[at] < end:
            start, stop = self._starts[at], self._ends[at]
            if stop <= iova:
                at += 1
                continue
            del self._starts[at], self._ends[at]
            self.table.unmap(max(start, iova), min(stop, end) - max(start, iova))
            for left, right in ((start, iova), (end, stop)):
                if left < right:
                    self._starts.insert(at, left)
                    self._ends.insert(at, right)
                    at += 1
        self.unmaps += 1

    def is_mapped(self, iova: int, length: int = 1) -> bool:
        """Return whether all of [iova, iova+length) is mapped."""
        end = iova + length
        while iova < end:
            at = bisect_right(self._starts, iova) - 1
            if at < 0 or self._ends[at] <= iova:
                return False
            iova = self._ends[at]
        return True

    @property
    def mappings(self) -> list[tuple[int, int]]:
        """[(start, end), ...] of what is mapped, in order."""
        return list(zip(self._starts, self._ends))

    @property
    def pages(self) -> int:
        """4 KiB pages mapped."""
        return sum(end - start for start, end in zip(self._starts, self._ends)) >> 12

    def free(self) -> None:
        """Give the page table's pages back."""
        self.table.free()
        self._starts.clear()
        self._ends.clear()

    def __repr__(self) -> str:
        return f"Domain({self.id}, {self.pages} pages, {len(self.requesters)} requesters)"
