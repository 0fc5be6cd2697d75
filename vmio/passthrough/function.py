"""A PCI function of the host that can be given to a guest: its registers, its DMA, its messages.

    function = HostFunction("nvme0", requester_id(0, 3), pci, controller, iommu)

`pci` is its configuration space (`NvmeFunction`), `registers` what is behind BAR 0.
All that it does to memory goes through `iommu.space(requester)`, interrupts included.
"""

from vmio.machine.pagetable import TranslationFault

DIRECT, TRAPPED = (0x0000, 0x2000), (0x2000, 0x2000)   # (offset, bytes) in BAR 0 of an NVMe controller


class HostFunction:
    """`owner` is the host's user of the device, with `let_go()` and `take_up()`, or None if the host has no driver for it.

    `let_go()` raises ValueError while the host's requests are under way.
    `direct` and `trapped` are the parts of BAR 0 that a guest may reach without an
    exit, and those that the host watches.  `arrived(ns)` is told when a guest's store comes in.
    """

    def __init__(self, name, requester, pci, registers, iommu, owner=None, direct=DIRECT, trapped=TRAPPED, arrived=None):
        self.name, self.requester, self.pci, self.registers = name, requester, pci, registers
        self.iommu, self.owner, self.direct, self.trapped = iommu, owner, direct, trapped
        self.arrived = arrived or (lambda ns: None)
        self.space = iommu.space(requester)
        self.assigned_to = None           # the `Assignment`, while a guest has it
        self.present = True               # a virtual function goes when its physical one disables it
        self.last_guest = None            # whose data may be on the medium
        self.children = []                # its virtual functions (`virtual.enable`)
        self.messages = self.blocked = 0  # that left, and of them those that the IOMMU refused
        pci.reach(self.space)
        registers.msix.send = self._send

    def reset(self):
        """Function level reset: queues, registers, MSI-X and configuration as at power-on; what was under way is void."""
        self.pci.reset()

    def erase(self):
        """All sectors become zeros: what a guest has stored is gone, too.  ValueError while a guest has the device."""
        if self.assigned_to is not None:
            raise ValueError(f"{self.name}: is assigned to {self.assigned_to.guest.name}")
        image = self.registers.image
        for lba in range(0, image.sectors, 2048):
            count = min(2048, image.sectors - lba)
            image.write(lba, bytes(512 * count))
        self.last_guest = None

    def _send(self, vector):
        """MSI-X: the write of a message.  One that the IOMMU refuses is lost, and recorded there."""
        address, data = self.registers.msix.message(vector)
        self.messages += 1
        if not self.pci.is_master:
            self.blocked += 1
            return
        try:
            self.space.message(address, data)
        except TranslationFault:
            self.blocked += 1

    def __repr__(self):
        return f"HostFunction({self.name!r})"
