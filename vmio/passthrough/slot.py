"""A function of the host's in a slot of a guest's PC, as Linux's VFIO gives it: no bus of the hypervisor's, only PCI.

Its BARs answer where the guest puts them, without an exit but for the pages with the MSI-X tables.  What the guest writes
there is its own idea of a message, an address of its own APIC; the device gets one of the host's, which the remapping
table turns into the guest's vector.  Its pin drives the interrupt wire of the slot.

Source: Linux drivers/vfio/pci/vfio_pci_intrs.c; PCI Local Bus Specification 3.0, 6.8.2.
"""

from collections.abc import Callable
from typing import Any

from vmio.devices.board import Board
from vmio.devices.pci.dma import LOGICAL, MESSAGES
from vmio.devices.pci.header import INTERRUPT_PIN
from vmio.devices.pci.msix import ENTRY_BYTES, MsixCapability
from vmio.devices.pci.piix import pirq_of
from vmio.devices.pci.slot import connect_pin
from vmio.devices.pci.wire import MASKED, MSIX_ENTRY
from vmio.hypervisor.guest import Guest
from vmio.machine.contracts import Device
from vmio.passthrough.assignment import Assignment, Part, check_clean, check_free
from vmio.passthrough.delivery import InterruptRouter
from vmio.passthrough.function import HostFunction
from vmio.passthrough.iommu.domain import Domain

_MESSAGE = MSIX_ENTRY.only("address", "data")
_CONTROL, _ = MSIX_ENTRY.at("control")


def assign_to_slot(function: HostFunction, guest: Guest, board: Board, slot: int, router: InterruptRouter, domain: Domain | None = None,
                   interrupts: str = "injected", inherit: bool = False) -> "SlotAssignment":
    """Give `function` to `guest`, in slot `slot` of its `board`; the rest as in `assign`."""
    check_free(function, guest, interrupts)
    check_clean(function, guest, inherit)
    return SlotAssignment(function, guest, (board, slot), router, domain, interrupts == "posted", slot)


class SlotAssignment(Assignment):
    """One device in one guest's hands, in a slot of its PC."""

    def _offer(self, server: Any, number: int) -> None:
        board, slot = server
        self._acquired = True
        self.config.header.bytes[INTERRUPT_PIN] = self.function.pci.get(INTERRUPT_PIN, 1)
        connect_pin(self.function.pci, slot, 0, lambda pin, level: board.bridge.set_pirq(pirq_of(slot, pin), level))
        board.pci.add(slot, 0, self.config)

    def _trapped(self, index: int, at: int, length: int) -> Part:
        """What answers at a page with a part of the MSI-X tables in it."""
        capability = self.function.pci.find(MsixCapability)
        registers = self.config.bars[index].registers
        if capability is None:
            return Part(registers, at, self.function, self.guest)
        (bar, start, size), _ = capability.tables()
        return MsixTrap(registers, at, self, range(start, start + size) if bar == index else range(0))

    def traps(self) -> list["MsixTrap"]:
        """Return what answers at pages with a part of the MSI-X tables, where the guest has put them."""
        parts = [region.device for index in sorted(self._mapped) for _, region in self._mapped[index]]
        return [part for part in parts if isinstance(part, MsixTrap)]

    def take_back(self, done: Callable[..., None] | None = None) -> None:
        """The machine is a PC of 1996: nothing is unplugged while it runs."""
        raise ValueError(f"{self.function.name}: is in a slot of {self.guest.name}'s PC, from which nothing is pulled while it runs")


class MsixTrap(Part):
    """A trapped page of a BAR: of what is in `table` the guest reads what it wrote, and the device gets a message of the host's."""

    def __init__(self, registers: Device, start: int, owner: SlotAssignment, table: range) -> None:
        super().__init__(registers, start, owner.function, owner.guest)
        self.owner, self.table = owner, table
        self.entries = bytearray(MSIX_ENTRY.pack(control=MASKED) * (len(table) // ENTRY_BYTES))    # as the guest sees them
        self.messages: dict[int, tuple[int, int, int, int]] = {}     # entry -> (address, data) of the guest's, and those of the host's

    def read(self, offset: int, size: int) -> int:
        """Return what the guest wrote, or what the device has there."""
        at = self.start + offset
        if at not in self.table:
            return super().read(offset, size)
        return int.from_bytes(self.entries[at - self.table.start:][:size], "little")

    def write(self, offset: int, size: int, value: int) -> None:
        """Write the guest's view of an entry, and the device's accordingly."""
        at = self.start + offset - self.table.start
        if not 0 <= at < len(self.entries):
            return super().write(offset, size, value)
        self.entries[at:at + size] = value.to_bytes(size, "little")[:len(self.entries) - at]
        self._follow(at // ENTRY_BYTES)

    def _follow(self, number: int) -> None:
        """Give the device the message for this entry; masked until the guest has let it go."""
        entry = self.entries[number * ENTRY_BYTES:][:ENTRY_BYTES]
        masked = entry[_CONTROL] & MASKED
        if not masked:
            wanted = _MESSAGE.unpack_from(entry)
            if self.messages.get(number, ())[:2] != wanted:
                self._retarget(number, wanted)
        real = self.table.start + number * ENTRY_BYTES
        known = self.messages.get(number)
        if known is not None:
            words = MSIX_ENTRY.pack(address=known[2], data=known[3], control=masked)
            for at in range(0, ENTRY_BYTES, 4):
                self.registers.write(real + at, 4, int.from_bytes(words[at:at + 4], "little"))

    def _retarget(self, number: int, wanted: tuple[int, ...]) -> None:
        """A new message of the guest's: one of the host's that raises its vector; none for what is no message to its vCPU."""
        old = self.messages.pop(number, None)
        if old is not None:
            self.owner.delete_interrupt(*old[2:])
        address, data = wanted
        vector, destination = data & 0xFF, address >> 12 & 0xFF
        if address & LOGICAL:                # of the flat model: a bit for each vCPU, as Linux gives them
            destination = (destination & -destination).bit_length() - 1
        if address >> 20 != MESSAGES.start >> 20 or vector < 16 or not 0 <= destination < len(self.guest.vcpus):
            return
        message = self.owner.create_interrupt(self.guest.vcpus[destination], vector)
        if message is not None:
            self.messages[number] = address, data, *message
