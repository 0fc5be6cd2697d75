"""A DMA mapping for each buffer: strict, lazy, merged, none; and many processors at one invalidation queue."""

from vmio.experiments.papers.result import Result, Row, figure
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.cores import Cores
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.simulation import Simulation
from vmio.machine.memory import PAGE
from vmio.modes import one_guest
from vmio.passthrough.iommu.iommu import Iommu
from vmio.passthrough.strategies import strategy

BUFFERS = 240
MERGED = 3                  # packets that share a map, as many as fit in a page with room for their headers


def fitted() -> CostModel:
    """Return the prices of a map and an invalidation, without the row that is to test them."""
    each, merged = 1e9 / figure("M02.2"), 1e9 / figure("M02.4")
    return CostModel.preset().with_(dma_map_ns=round((each - merged) / (1 - 1 / MERGED)),
                                    dma_invalidate_ns=round(1e9 / figure("M02.1") - each))


def ns_per_buffer(name: str, work_ns: int, share: int = 1) -> float:
    """ns a buffer of a driver that works `work_ns` for each, and maps and unmaps a page for `share` of them."""
    guest = one_guest(ram_mib=4, costs=fitted()).guest
    iommu = Iommu(guest.host.memory)
    domain = iommu.domain(allowed=[(spa, length) for _, spa, length in guest.backing.runs()])
    cpu = guest.cpu
    dma = strategy(name, iommu, domain, guest, *((cpu.compute,) if name in ("strict", "lazy") else ()))
    for _ in range(BUFFERS // share):
        address = dma.map(0x5000, PAGE)
        for _ in range(share):
            cpu.compute(work_ns)
        dma.unmap(address, PAGE)
    return cpu.now / BUFFERS


def unmap_ns(threads: int, rest_ns: int, each: int = 20) -> float:
    """ns an unmap, if each of `threads` works `rest_ns` and then has one invalidation at a queue that does one at a time."""
    env = Simulation()
    invalidate_ns = fitted().dma_invalidate_ns
    queue = Cores(env, 1, invalidate_ns)

    def thread() -> Steps:
        for _ in range(each):
            yield env.timeout(rest_ns)
            yield from queue.spend(invalidate_ns)
    for _ in range(threads):
        env.process(thread())
    env.run()
    return env.now / each


def run() -> Result:
    """Let the network driver set the prices; an NVMe driver and an Arm machine test them."""
    costs = fitted()
    packet = round(1e9 / figure("M02.2")) - costs.dma_map_ns
    request = round(1000 / figure("M01.3"))
    rest = round(figure("M03.1a")) - costs.dma_invalidate_ns
    pps = {(name, share): 1e9 / ns_per_buffer(name, packet, share) for name in ("strict", "lazy") for share in (1, MERGED)}
    mios = {name: 1000 / ns_per_buffer(name, request) for name in ("strict", "lazy", "static")}
    lazy = ("The mail says neither how many jobs ran nor on how many processors; with several, a time for each I/O "
            "is only a bound; strict may agree by luck.")
    shared = "Real threads share a CMD_SYNC: one wait is enough for what several have queued."
    rows = (
        Row("packets/s, strict", figure("M02.1"), pps["strict", 1], "fit"),
        Row("packets/s, lazy", figure("M02.2"), pps["lazy", 1], "fit"),
        Row("packets/s, lazy, maps merged", figure("M02.4"), pps["lazy", MERGED], "fit"),
        Row("packets/s, strict, maps merged", figure("M02.3"), pps["strict", MERGED]),
        Row("NVMe, MIOPS, passthrough", figure("M01.3"), mios["static"], "fit"),
        Row("NVMe, MIOPS, strict", figure("M01.1"), mios["strict"]),
        Row("NVMe, MIOPS, lazy", figure("M01.2"), mios["lazy"], why=lazy),
        Row("Arm, invalidation, ns", figure("M03.1c"), costs.dma_invalidate_ns, within=0.25),
        Row("Arm, unmap, 1 thread, ns", figure("M03.1a"), unmap_ns(1, rest), "fit"),
        Row("Arm, unmap, 16 threads, ns", figure("M03.16a"), unmap_ns(16, rest), why=shared),
        Row("Arm, unmap, 32 threads, ns", figure("M03.32a"), unmap_ns(32, rest), why=shared),
        Row("Arm, unmap, 64 threads, ns", figure("M03.64a"), unmap_ns(64, rest)),
        Row("Arm, unmap, 96 threads, ns", figure("M03.96a"), unmap_ns(96, rest)),
    )
    return Result("A DMA mapping for each buffer",
                  "a vCPU maps, works and unmaps, on page tables and an IOTLB; the prices of a map and an invalidation "
                  "come from the packets alone. Then NVMe and an Arm machine, each with its work without mapping "
                  "fitted. Tolerance of the invalidation 25%: another maker's IOMMU.",
                  ("M02.1", "M01.1", "M03.1a"), rows)
