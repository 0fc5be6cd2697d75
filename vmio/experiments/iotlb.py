"""A device's DMA behind an IOMMU, without a driver: hits against working set, and the window of danger."""

from dataclasses import dataclass
from random import Random

from vmio.experiments import params
from vmio.experiments.params import param
from vmio.hypervisor.guest import Guest
from vmio.machine.contracts import Options
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import TranslationFault
from vmio.modes import one_guest
from vmio.passthrough.iommu.domain import Domain
from vmio.passthrough.iommu.iommu import Iommu
from vmio.passthrough.iommu.requester import requester_id
from vmio.passthrough.iommu.space import DmaSpace
from vmio.passthrough.strategies import strategy

DEVICE = requester_id(0, 3)
ACCESSES = 2000


@dataclass(frozen=True)
class IotlbParams:
    """What `hits` counts."""

    pages: int = param(64, "pages of 4 KiB that the device reads", low=1, high=1024, scale="log2")
    entries: int = param(64, "translations that the IOTLB holds", low=1, high=4096, scale="log2")
    seed: int = param(1, "of the random order", low=0)


@dataclass(frozen=True)
class IotlbResult:
    """`accesses` DMA reads at random over `pages` pages, with an IOTLB of `entries`."""

    pages: int
    entries: int
    accesses: int
    hits: int
    misses: int

    @property
    def hit_rate(self) -> float:
        """Between 0 and 1."""
        return self.hits / self.accesses


def machine(entries: int = 64) -> tuple[Guest, Iommu, Domain, DmaSpace]:
    """(guest, IOMMU, domain, the device's DMA): 4 MiB of RAM, a domain with nothing mapped, translation on."""
    guest = one_guest(name="owner", ram_mib=4).guest
    iommu = Iommu(guest.host.memory, iotlb_entries=entries)
    domain = iommu.domain(allowed=[(spa, length) for _, spa, length in guest.backing.runs()])
    iommu.attach(DEVICE, domain)
    iommu.enable()
    return guest, iommu, domain, iommu.space(DEVICE)


def hits(pages: int = 64, entries: int = 64, seed: int = 1) -> IotlbResult:
    """Random reads of 64 bytes in a working set of 4 KiB pages (see `IotlbParams`); an `IotlbResult`."""
    params.check(IotlbParams(pages, entries, seed))
    guest, iommu, domain, dma = machine(entries)
    for page in range(pages):       # one by one: a 2 MiB page would need one entry for all
        domain.map(page * PAGE, guest.ram_spa(page * PAGE), PAGE)
    random = Random(seed)
    for page in range(pages):       # once through before the count, so that only capacity shows
        dma.read(page * PAGE, 64)
    before = iommu.iotlb.hits, iommu.iotlb.misses
    for _ in range(ACCESSES):
        dma.read(random.randrange(pages) * PAGE, 64)
    return IotlbResult(pages, entries, ACCESSES, iommu.iotlb.hits - before[0], iommu.iotlb.misses - before[1])


def window(name: str, batch: int = 4) -> list[tuple[str, str]]:
    """Show a device that keeps an address after it was unmapped: [(what was done, what the device got), ...].

    `name` is a map strategy, "strict" or "lazy" (which invalidates for `batch` buffers at a time).
    """
    guest, iommu, domain, dma = machine()
    options: Options = {"batch": batch} if name == "lazy" else {}
    buffers = strategy(name, iommu, domain, guest, **options)
    steps = []

    def attempt(what: str, address: int) -> None:
        try:
            got = dma.read(address, 16).rstrip(b"\0").decode()
        except TranslationFault as fault:
            got = str(fault)
        steps.append((what, got))
    guest.memory.write(0x5000, b"the buffer's own")
    address = buffers.map(0x5000, PAGE)
    attempt("mapped, the device reads", address)
    buffers.unmap(address, PAGE)
    guest.memory.write(0x5000, b"someone's secret")     # the page has a new user
    attempt("unmapped, it reads again", address)
    for _ in range(batch - 1):
        buffers.unmap(buffers.map(0x9000, PAGE), PAGE)
    attempt(f"{batch - 1} more buffers came and went", address)
    return steps
