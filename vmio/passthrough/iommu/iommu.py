"""The host's IOMMU: domains, who is in which, and the caches that must be told.

This is the side of whoever owns the machine: it builds the root and context tables
in host memory, switches translation on, and invalidates.  What a device meets is
the `Remapper`, which reads the same tables.
Source: Intel VT-d specification 3.4 "Mapping Devices to Domains", 6.5 "Invalidation of Translation Caches".
"""

from collections.abc import Sequence

from vmio.machine.memory import HostMemory
from vmio.machine.pagetable import TranslationFault
from vmio.passthrough.iommu import structures
from vmio.passthrough.iommu.domain import Domain
from vmio.passthrough.iommu.interrupts import InterruptRemapper
from vmio.passthrough.iommu.iotlb import Translation
from vmio.passthrough.iommu.remapper import Remapper
from vmio.passthrough.iommu.requester import text
from vmio.passthrough.iommu.space import DmaSpace

MAX_DOMAINS = 1 << 16


class Iommu:
    """An IOMMU over host `memory`, off until `enable()`: off, a device's addresses are the host's own.

    `iotlb_entries` translations are cached; `fault_records` faults can wait to be
    read.  Counters: `iotlb.hits`, `iotlb.misses`, `iotlb.invalidations`, `faults.counts`.
    """

    def __init__(self, memory: HostMemory, iotlb_entries: int = 64, fault_records: int = 8, width: int = 48) -> None:
        if not isinstance(memory, HostMemory):
            raise ValueError(f"iommu: memory {memory!r}; the host's own memory holds its tables")
        self.memory = memory
        self.remapper = Remapper(memory, width, iotlb_entries, fault_records)
        self.interrupts = InterruptRemapper(memory, self.remapper.faults)   # its table: `delivery.InterruptRouter`
        self.iotlb, self.faults = self.remapper.iotlb, self.remapper.faults
        self.domains: dict[int, Domain] = {}   # id -> Domain
        self._owners: dict[int, Domain] = {}   # requester -> Domain
        self._context_tables: dict[int, int] = {}   # bus -> SPA
        self.remapper.root = memory.allocate(1)

    # Translation.

    def enable(self) -> None:
        """Switch DMA remapping on; from here a requester without a domain reaches nothing."""
        self.remapper.forget()
        self.remapper.enabled = True

    def disable(self) -> None:
        """Switch DMA remapping off: every device reaches all of the host's memory again."""
        self.remapper.forget()
        self.remapper.enabled = False

    @property
    def enabled(self) -> bool:
        """Is DMA translated?"""
        return self.remapper.enabled

    def space(self, requester: int) -> DmaSpace:
        """Return the `DmaSpace` of a requester id: give it to a hardware model as its memory."""
        return DmaSpace(self.remapper, self.interrupts, requester)

    # Domains.

    def domain(self, allowed: Sequence[tuple[int, int]] | None = None) -> Domain:
        """Return a new, empty `Domain`; `allowed` restricts what may be mapped in it, as [(SPA, bytes), ...]."""
        number = next((n for n in range(1, MAX_DOMAINS) if n not in self.domains), None)   # 0 is not for use (6.2.3)
        if number is None:
            raise ValueError(f"iommu: all {MAX_DOMAINS - 1} domains are in use")
        domain = self.domains[number] = Domain(self.memory, number, self.remapper.levels[-1], allowed)
        return domain

    def owner(self, requester: int) -> Domain | None:
        """Return the `Domain` that a requester is in, or None."""
        return self._owners.get(requester)

    def attach(self, requester: int, domain: Domain) -> None:
        """Put a requester into a domain; ValueError if it is in one already."""
        if not 0 <= requester <= 0xFFFF:
            raise ValueError(f"iommu: requester {requester}; 0 to 65,535")
        if self.domains.get(domain.id) is not domain:
            raise ValueError(f"iommu: {domain!r} is not one of this IOMMU's domains")
        if requester in self._owners:
            raise ValueError(f"iommu: {text(requester)} is in domain {self._owners[requester].id} already; "
                             "detach it first")
        self._set_context(requester, structures.context_entry(domain.id, domain.table.root, domain.levels))
        self._owners[requester] = domain
        domain.requesters.add(requester)

    def detach(self, requester: int) -> None:
        """Take a requester out of its domain; its DMA faults from here.  ValueError if it is in none."""
        domain = self._owners.pop(requester, None)
        if domain is None:
            raise ValueError(f"iommu: {text(requester)} is in no domain")
        self._set_context(requester, bytes(structures.ENTRY_BYTES))
        domain.requesters.discard(requester)
        self.remapper.forget_contexts(requester)      # in this order: a walk could refill the second from the first
        self.iotlb.invalidate(domain.id)

    def destroy(self, domain: Domain) -> None:
        """End a domain; ValueError while a device is in it."""
        if domain.requesters:
            raise ValueError(f"iommu: domain {domain.id} still holds {', '.join(map(text, sorted(domain.requesters)))}")
        if self.domains.pop(domain.id, None) is not None:
            self.iotlb.invalidate(domain.id)
            domain.free()

    def remove(self) -> None:
        """Its last device has gone for ever: the host has the memory of its tables back.  ValueError while there are domains."""
        if self.domains:
            raise ValueError(f"iommu: {len(self.domains)} domains are in use")
        for spa in (self.remapper.root, *self._context_tables.values()):
            self.memory.free(spa, 1)
        self._context_tables.clear()

    def _set_context(self, requester: int, entry: bytes) -> None:
        bus = requester >> 8
        table = self._context_tables.get(bus)
        if table is None:
            table = self._context_tables[bus] = self.memory.allocate(1)
            self.memory.write(self.remapper.root + bus * structures.ENTRY_BYTES, structures.root_entry(table))
        self.memory.write(table + (requester & 0xFF) * structures.ENTRY_BYTES, entry)

    # Invalidation: without it, what was unmapped stays usable.

    def invalidate(self, domain: Domain | None = None, iova: int | None = None, length: int = 4096) -> int:
        """Make the IOTLB forget everything, a `Domain`, or [iova, iova+length) of it; returns how many entries went.

        A page-selective command covers 2^n pages, aligned (6.5.1.2), so it may take neighbours with it.
        """
        if domain is None:
            return self.iotlb.invalidate()
        if iova is None:
            return self.iotlb.invalidate(domain.id)
        if iova < 0 or length <= 0:
            raise ValueError(f"iommu: invalidate {iova:#x}, {length} bytes; at least 1 byte of a positive address")
        size = 4096
        while iova & -size != iova + length - 1 & -size:
            size *= 2
        return self.iotlb.invalidate(domain.id, iova & -size, size)

    def stale(self) -> list[Translation]:
        """Return the translations in the IOTLB that the domain's table no longer makes: what a device can still misuse."""
        return [entry for entry in self.iotlb if not self._is_true(entry)]

    def _is_true(self, entry: Translation) -> bool:
        domain = self.domains.get(entry.domain)
        try:
            return (domain is not None and self._owners.get(entry.requester) is domain
                    and domain.table.translate(entry.address, entry.permissions) == entry.target)
        except TranslationFault:
            return False
