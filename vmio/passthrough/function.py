"""A PCI function of the host that can be given to a guest: its registers, its DMA, its messages.

    function = HostFunction("nvme0", requester_id(0, 3), pci, iommu)

`pci` is its `PciFunction`, which says what the device is: BARs and what answers there,
what of them a guest may reach without an exit, how it is reset and scrubbed.  All
that it does to memory goes through `iommu.space(requester)`, interrupts included.
"""

from collections.abc import Callable
from typing import Any, Protocol

from vmio.devices.pci.function import PciFunction
from vmio.hypervisor.guest import Guest
from vmio.machine.memory import PAGE
from vmio.passthrough.iommu.iommu import Iommu


class Named(Protocol):
    """A guest, or several."""

    name: str


class Lent(Protocol):
    """See `Assignment`."""

    guest: Guest


class HostFunction:
    """`owner` is the host's user of the device, with `let_go()` and `take_up()`, or None if the host has no driver for it.

    `let_go()` raises ValueError while the host's requests are under way.
    `arrived(ns)` is told when a guest's store comes in (default: the function is told).
    """

    def __init__(self, name: str, requester: int, pci: PciFunction, iommu: Iommu, owner: Any = None,
                 arrived: Callable[[int], None] | None = None) -> None:
        self.name, self.requester, self.pci, self.iommu, self.owner = name, requester, pci, iommu, owner
        self.arrived = arrived or pci.arrived
        self.space = iommu.space(requester)
        self.assigned_to: Lent | None = None    # the `Assignment`, while a guest has it
        self.present = True               # a virtual function goes when its physical one disables it
        self.last_guest: Named | None = None       # whose data may be on the device
        self.children: list[HostFunction] = []   # its virtual functions (`virtual.enable`)
        pci.reach(self.space)

    @property
    def device(self) -> Any:
        """The device behind the function."""
        return self.pci.device

    @property
    def vectors(self) -> int:
        """How many interrupts by message the device can tell apart."""
        return self.pci.vectors

    def reset(self) -> None:
        """Do a function level reset: the device, MSI and configuration are as at power-on; what was under way is void."""
        self.pci.reset()

    def erase(self) -> None:
        """Wipe what guests have stored on the device.  ValueError while a guest has it."""
        if self.assigned_to is not None:
            raise ValueError(f"{self.name}: is assigned to {self.assigned_to.guest.name}")
        self.pci.scrub()
        self.last_guest = None

    def leaves_data(self, guest: Guest) -> bool:
        """May somebody else than `guest` have left something on the device that a reset keeps?"""
        return self.pci.persistent and self.last_guest not in (None, guest)

    def parts(self, index: int) -> list[tuple[int, int, bool]]:
        """Cut a BAR for a guest: a list of (offset, bytes, direct?).

        Pages are what an address translation can give away, so a page with a watched
        byte in it is trapped, and so is a BAR that does not fill a page.
        """
        bar = self.pci.bars[index]
        if bar.size < PAGE:
            return [(0, bar.size, False)]
        trapped = {page for at, size in self.pci.watched(index) for page in range(at // PAGE, -(-(at + size) // PAGE))}
        edges = sorted({0, bar.size // PAGE, *trapped, *(page + 1 for page in trapped)})
        parts: list[tuple[int, int, bool]] = []
        for first, end in zip(edges, edges[1:]):
            if parts and parts[-1][2] == (first not in trapped):
                parts[-1] = (parts[-1][0], parts[-1][1] + (end - first) * PAGE, parts[-1][2])
            else:
                parts.append((first * PAGE, (end - first) * PAGE, first not in trapped))
        return parts

    def __repr__(self) -> str:
        return f"HostFunction({self.name!r})"
