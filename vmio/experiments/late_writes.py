"""Late writes: a device goes on using buffers that were taken from it, and their pages have new owners.

    result = run(LateWritesParams(strategy="lazy", batch=64, late_by=4))
    result.landed, result.refused, result.leaked

Buffers of one page come and go, each in a page of its own.  When one has been unmapped its page gets a new owner, who writes
something secret into it.  `late_by` buffers later the device, which was never told, reads the page and writes into it.
Who invalidates, and when, is the strategy's (`vmio.passthrough.strategies`); what came of it is looked up in the pages.
An address that was invalidated is given to a newer buffer, so a very late write may land in that one's page.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from vmio.experiments import params
from vmio.experiments.iotlb import machine
from vmio.experiments.params import param
from vmio.hypervisor.guest import Guest
from vmio.machine.contracts import Options
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import TranslationFault
from vmio.passthrough.iommu.space import DmaSpace
from vmio.passthrough.strategies import strategy

FIRST = 0x10_0000           # GPA of the first buffer; a page each
SECRET, LATE = b"someone's secret", b"late from device"


@dataclass(frozen=True)
class LateWritesParams:
    """`buffers` come and go; the device uses each once more, `late_by` buffers after it was taken away."""

    strategy: str = param("lazy", "when the IOTLB is told that a buffer is gone: strict, at once; lazy, later for many", choices=("strict", "lazy"))
    batch: int = param(16, "buffers for which lazy mode invalidates at a time", low=1, high=256, scale="log2")
    late_by: int = param(4, "buffers that come and go before the device uses an old one again", low=0, high=64)
    entries: int = param(64, "translations that the IOTLB holds", low=1, high=4096, scale="log2")
    buffers: int = param(64, "buffers in all", low=1, high=512)


@dataclass(frozen=True)
class LateWritesResult:
    """What the pages say afterwards, and what the IOMMU counted."""

    params: LateWritesParams
    landed: int             # pages in which a late write was found
    refused: int            # late writes that ended in a fault, as did as many reads
    leaked: int             # bytes of new owners' secrets that the device got
    damaged: int            # bytes of them that are no longer what they were
    faults: int             # as the IOMMU's own counter says
    invalidations: int
    driver_ns: int          # what mapping, unmapping and invalidating cost the driver


def run(asked: LateWritesParams) -> LateWritesResult:
    """Let all buffers come and go; a `LateWritesResult`."""
    params.check(asked)
    guest, iommu, domain, dma = machine(asked.entries)
    spent: list[int] = []
    options: Options = {"batch": asked.batch} if asked.strategy == "lazy" else {}
    driver = strategy(asked.strategy, iommu, domain, guest, spent.append, **options)
    leaked, refused = 0, {_read: 0, _write: 0}
    addresses = []
    for number in range(asked.buffers + asked.late_by):
        gpa = FIRST + number * PAGE
        addresses.append(driver.map(gpa, PAGE))
        dma.write(addresses[-1], b"as it should be.")
        driver.unmap(addresses[-1], PAGE)
        guest.memory.write(gpa, SECRET)             # the page's new owner
        old = number - asked.late_by
        if old < 0:
            continue
        for use in (_read, _write):
            try:
                leaked += use(dma, addresses[old])
            except TranslationFault:
                refused[use] += 1
    pages = list(_pages(guest, len(addresses)))
    return LateWritesResult(asked, pages.count(LATE), refused[_write], leaked,
                            sum(sum(now != was for now, was in zip(page, SECRET)) for page in pages),
                            sum(iommu.faults.counts.values()), driver.invalidations, sum(spent))


def _read(dma: DmaSpace, address: int) -> int:
    """How many bytes of a secret the device reads."""
    got: bytes = dma.read(address, len(SECRET))
    return len(SECRET) if got == SECRET else 0


def _write(dma: DmaSpace, address: int) -> int:
    dma.write(address, LATE)
    return 0


def _pages(guest: Guest, buffers: int) -> Iterator[bytes]:
    """The beginnings of the pages that were given away, as their owners find them."""
    for number in range(buffers):
        yield guest.memory.read(FIRST + number * PAGE, len(SECRET))
