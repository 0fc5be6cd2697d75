"""The IOMMU as a guest sees it that maps each buffer itself: its tables are its own, the IOTLB is not.

Writing a table entry is a store to memory, and no exit.  Making the IOTLB forget is a
hypercall: the cache is shared by all guests, so only the hypervisor may command it.
That is the price of strict and lazy mapping inside a guest.
Public source: Linux drivers/iommu/hyperv, HVCALL_FLUSH_DEVICE_DOMAIN.
"""

from vmio.hypervisor.contracts import GuestCpu, Partition
from vmio.hypervisor.guest import Guest
from vmio.passthrough.iommu.domain import Domain
from vmio.passthrough.iommu.iommu import Iommu

FLUSH_DEVICE_DOMAIN = 0xD0
FAST = 1 << 16
SUCCESS, INVALID_PARAMETER = 0, 5
PAGE = 4096


def serve(guest: Guest, iommu: Iommu, domain: Domain) -> None:
    """Let `guest` have `domain`, and no other, flushed.

    Input in registers: the page address and the number of pages, or 0 pages for
    all of the domain (Hyper-V takes a list in memory; ours is one range).
    """
    def flush(guest: Partition, cpu: GuestCpu, control: int, address: int, pages: int) -> int:
        if address % PAGE or address >> 57 or pages > 1 << 45:
            return INVALID_PARAMETER
        if pages:
            iommu.invalidate(domain, address, pages * PAGE)
        else:
            iommu.invalidate(domain)
        return SUCCESS
    flush.domain = domain           # type: ignore[attr-defined]  # whose it is, for `withdraw`
    guest.hypercalls[FLUSH_DEVICE_DOMAIN] = flush


def withdraw(guest: Guest, domain: Domain) -> None:
    """The domain is about to end: the guest can't have it flushed any more."""
    if getattr(guest.hypercalls.get(FLUSH_DEVICE_DOMAIN), "domain", None) is domain:
        del guest.hypercalls[FLUSH_DEVICE_DOMAIN]


class GuestIommu:
    """What a mapping strategy calls its IOMMU, in a guest's driver on `cpu`."""

    def __init__(self, cpu: GuestCpu) -> None:
        self.cpu = cpu

    def invalidate(self, domain: Domain | None = None, iova: int | None = None, length: int = 0) -> None:
        """Have the hypervisor invalidate a range of our domain, or all of it: one exit."""
        cpu, enabled = self.cpu, self.cpu.interrupts_enabled
        cpu.interrupts_enabled = False       # a flush by a timer may come while the guest is halted
        try:
            cpu.hypercall(FLUSH_DEVICE_DOMAIN | FAST, iova or 0, 0 if iova is None else -(-length // PAGE))
        finally:
            cpu.interrupts_enabled = enabled


class Untranslated:
    """`off`: no IOMMU, so the driver must say where the host keeps its page.  Nothing stops it from saying another.

    (Xen's paravirtual guests drove devices so: they knew their machine addresses.)
    """

    name = "off"

    def __init__(self, guest: Guest) -> None:
        self.guest = guest

    def map(self, gpa: int, length: int, permissions: int = 0) -> int:
        """Return the host's address of the buffer."""
        return self.guest.ram_spa(gpa)

    def unmap(self, address: int, length: int) -> None:
        """Nothing was mapped."""
