"""The IOMMU as plain data and back: domains, caches in their order, faults, interrupt remapping.

Its tables are the host's memory; here is where they lie, and what the hardware remembers of them.
"""

from typing import Any

from vmio.machine.checkpoint import Form, State, same, same_entries
from vmio.passthrough.iommu.domain import Domain
from vmio.passthrough.iommu.faults import Reason
from vmio.passthrough.iommu.iommu import Iommu
from vmio.passthrough.iommu.iotlb import _LEVEL, LEVELS, Iotlb, Translation
from vmio.passthrough.iommu.structures import Context

IOMMU = Form("IOMMU", 1, "enabled", "root", "walks", "contexts", "context_tables", "iotlb", "faults", "fault_counts", "domains",
             "owners", "interrupts", "messages")
DOMAIN = Form("domain", 1, "id", "allowed", "table", "requesters", "maps", "unmaps", "mappings")
IOTLB = Form("IOTLB", 1, "entries", "hits", "misses", "evictions", "invalidations", "cache", "newest")


def save(iommu: Iommu) -> State:
    """Return all of it."""
    remapper, faults, interrupts = iommu.remapper, iommu.faults, iommu.interrupts
    return IOMMU.state(
        enabled=remapper.enabled, root=remapper.root, walks=remapper.walks,
        contexts=[[requester, *context] for requester, context in remapper._contexts.items()],
        context_tables=iommu._context_tables.items(), iotlb=_save_iotlb(iommu.iotlb), faults=faults.save(),
        fault_counts=faults.counts.items(), domains=[_save_domain(each) for each in iommu.domains.values()], owners=_owners(iommu),
        interrupts=interrupts.save(), messages=[interrupts.delivered, interrupts.posted, interrupts.refused])


def restore(iommu: Iommu, state: State) -> None:
    """Take it back where the same domains were made, and the same functions put into them."""
    saved = IOMMU.take(state)
    remapper, faults, interrupts = iommu.remapper, iommu.faults, iommu.interrupts
    same("IOMMU, root table", saved["root"], remapper.root)
    same("IOMMU, who is in which domain", saved["owners"], _owners(iommu))
    iommu._context_tables = {bus: spa for bus, spa in saved["context_tables"]}
    for domain, each in zip(iommu.domains.values(), saved["domains"], strict=True):
        _restore_domain(domain, each)
    remapper.enabled, remapper.walks = saved["enabled"], saved["walks"]
    remapper._contexts = {requester: Context(*fields) for requester, *fields in saved["contexts"]}
    _restore_iotlb(iommu.iotlb, saved["iotlb"])
    same_entries("IOMMU, faults", saved["faults"], faults.save())
    faults.restore(saved["faults"])
    faults.counts = {Reason(reason): count for reason, count in saved["fault_counts"]}
    same_entries("IOMMU, interrupts", saved["interrupts"], interrupts.save())
    interrupts.restore(saved["interrupts"])
    interrupts.delivered, interrupts.posted, interrupts.refused = saved["messages"]


def _owners(iommu: Iommu) -> list[list[int]]:
    return [[requester, domain.id] for requester, domain in iommu._owners.items()]


def _fixed(domain: Domain) -> list[Any]:
    """What is fixed when a domain is made."""
    return [domain.id, domain.allowed, sorted(domain.requesters)]


def _save_domain(domain: Domain) -> State:
    number, allowed, requesters = _fixed(domain)
    return DOMAIN.state(id=number, allowed=allowed, requesters=requesters, table=domain.table.save(), maps=domain.maps,
                        unmaps=domain.unmaps, mappings=domain.mappings)


def _restore_domain(domain: Domain, state: State) -> None:
    saved = DOMAIN.take(state)
    same("domain", [saved["id"], saved["allowed"], saved["requesters"]], _fixed(domain))
    domain.table.restore(saved["table"])
    domain.maps, domain.unmaps = saved["maps"], saved["unmaps"]
    domain._starts, domain._ends = [start for start, _ in saved["mappings"]], [end for _, end in saved["mappings"]]


def _save_iotlb(iotlb: Iotlb) -> State:
    return IOTLB.state(entries=iotlb.entries, hits=iotlb.hits, misses=iotlb.misses, evictions=iotlb.evictions,
                       invalidations=iotlb.invalidations, cache=[[key, *each] for key, each in iotlb._cache.items()],
                       newest=iotlb._newest)


def _restore_iotlb(iotlb: Iotlb, state: State) -> None:
    """What was used last is at the end, so the same goes next."""
    saved = IOTLB.take(state)
    same("IOTLB, entries", saved["entries"], iotlb.entries)
    iotlb._cache.clear()
    iotlb._at_level, iotlb._probes = [0] * LEVELS, ()
    for key, *fields in saved["cache"]:
        iotlb._cache[key] = Translation(*fields)
        iotlb._count(key >> _LEVEL, 1)
    iotlb.hits, iotlb.misses, iotlb.evictions, iotlb.invalidations = (
        saved[name] for name in ("hits", "misses", "evictions", "invalidations"))
    iotlb._newest = saved["newest"]
