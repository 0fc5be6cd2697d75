"""A virtio device as a PCI function, of the modern kind: registers in BAR 4, MSI-X tables in BAR 1.

A kick is one store to the queue's doorbell.  With MSI-X an interrupt names its queue; with the pin,
the driver reads the ISR byte, which clears it.  Source: VIRTIO 1.2, 4.1 "Virtio Over PCI Bus".
"""

from vmio.devices.pci.bar import Bar
from vmio.devices.pci.capabilities import Capability
from vmio.devices.pci.function import Identity, PciFunction
from vmio.devices.pci.msix import Msix, MsixCapability
from vmio.machine.contracts import State
from vmio.machine.layout import Layout
from vmio.virtio import pci_wire as p
from vmio.virtio.device import VirtioDevice
from vmio.virtio.pci_common import CommonConfig

CLASSES = {1: 0x020000, 2: 0x010000, 3: 0x078000, 5: 0x00FF00}       # by the device's type, as QEMU's have them
MSIX_AT = 0x98


class Structure(Capability):
    """Where one of the device's structures lies: in BAR 4 at `offset`, so many bytes (4.1.4)."""

    def __init__(self, kind: int, offset: int, at: int, layout: Layout = p.CAPABILITY, last: int = 0) -> None:
        values = {"len": layout.size, "type": kind, "bar": p.BAR, "offset": offset, "length": p.PART}
        if layout is p.NOTIFY_CAPABILITY:
            values["multiplier"] = last
        super().__init__(p.VNDR, layout.size, [(*layout.at(name), value) for name, value in values.items()], at=at)


class Window(Capability):
    """A way to the BARs through configuration space, for firmware that has not mapped them yet (4.1.4.9)."""

    def __init__(self, registers: "Registers", at: int) -> None:
        layout = p.WINDOW_CAPABILITY
        super().__init__(p.VNDR, layout.size, [(*layout.at("len"), layout.size), (*layout.at("type"), p.WINDOW)],
                         [(*layout.at("bar"), 0xFF), (*layout.at("offset"), 0xFFFF_FFFF), (*layout.at("length"), 0xFFFF_FFFF)], at)
        self.registers, self.data = registers, layout.at("data")[0]

    def read(self, offset: int, size: int) -> int:
        """Read; of the data field, what the BAR has there."""
        where = self._there() if offset == self.data else None
        return super().read(offset, size) if where is None else self.registers.read(where, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write; to the data field, into the BAR."""
        where = self._there() if offset == self.data else None
        if where is None:
            super().write(offset, size, value)
        else:
            self.registers.write(where, size, value)

    def _there(self) -> int | None:
        """The offset in BAR 4 that is chosen; None unless it is one that an access of the chosen length may have."""
        bar, at, length = (self.get(*p.WINDOW_CAPABILITY.at(name)) for name in ("bar", "offset", "length"))
        return at if bar == p.BAR and length in (1, 2, 4) and not at % length and at + length <= p.BAR_BYTES else None


class Registers:
    """What answers in BAR 4."""

    def __init__(self, function: "VirtioFunction") -> None:
        self.function, self.common, self.device = function, function.common, function.device

    def read(self, offset: int, size: int) -> int:
        """Read a register of any of the structures; doorbells read 0."""
        if offset < p.ISR_AT:
            return self.common.read(offset, size)
        if offset < p.DEVICE_AT:
            return self.function.take_isr() if offset == p.ISR_AT else 0
        if offset < p.NOTIFY_AT:
            return self.device.read_config(offset - p.DEVICE_AT, size)
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register; a doorbell is a queue's, whatever is written."""
        if offset >= p.NOTIFY_AT:
            self.device.kick((offset - p.NOTIFY_AT) // p.MULTIPLIER)
        elif offset < p.ISR_AT:
            self.common.write(offset, size, value)
        elif offset >= p.DEVICE_AT:
            self.device.write_config(offset - p.DEVICE_AT, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))


class Tables:
    """What answers in BAR 1: the MSI-X table, and the pending bits."""

    def __init__(self, msix: Msix) -> None:
        self.msix = msix

    def read(self, offset: int, size: int) -> int:
        """Read; whole dwords alone (PCI 3.0, 6.8.2)."""
        if offset & 3 or size < 4:
            return 0
        return self.msix.read_table(offset, size) if offset < p.PENDING else self.msix.read_pending(offset - p.PENDING, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write; the pending bits are the device's."""
        if not offset & 3 and size >= 4 and offset < p.PENDING:
            self.msix.write_table(offset, size, value)


class VirtioFunction(PciFunction):
    """`device` in a slot, with `vectors` for its interrupts (None: one for each queue, and one for the configuration)."""

    device: VirtioDevice

    def __init__(self, device: VirtioDevice, vectors: int | None = None) -> None:
        vectors = len(device.setups) + 1 if vectors is None else vectors
        self.isr = 0
        self.msix = Msix(vectors, lambda vector: None)
        self.common = CommonConfig(device, vectors, self._forget)
        device.transport = self
        self.device = device
        registers = Registers(self)
        super().__init__(
            Identity(p.VENDOR, p.FIRST_DEVICE + device.type, CLASSES[device.type], revision=1, subsystem=(p.VENDOR, 0x1100)),
            {p.TABLES_BAR: Bar(p.TABLES_BYTES, registers=Tables(self.msix)),
             p.BAR: Bar(p.BAR_BYTES, wide=True, prefetch=True, registers=registers, doorbells=(p.NOTIFY_AT, p.PART))},
            [MsixCapability(self.msix, (p.TABLES_BAR, 0), (p.TABLES_BAR, p.PENDING), at=MSIX_AT), Window(registers, 0x84),
             Structure(p.NOTIFY, p.NOTIFY_AT, 0x70, p.NOTIFY_CAPABILITY, p.MULTIPLIER), Structure(p.DEVICE, p.DEVICE_AT, 0x60),
             Structure(p.ISR, p.ISR_AT, 0x50), Structure(p.COMMON, p.COMMON_AT, 0x40)], device, pin=1)

    def obey(self) -> None:
        """With MSI-X on, the pin is silent."""
        super().obey()
        self._drive()

    def reset(self) -> None:
        """See `PciFunction`."""
        self.common.reset()
        self.msix.reset()
        self.isr = 0
        super().reset()

    def _forget(self) -> None:
        """The driver has reset the device: nothing has happened."""
        self.isr = 0
        self._drive()

    def take_isr(self) -> int:
        """Return why the pin is up, and let it go (4.1.4.5)."""
        isr, self.isr = self.isr, 0
        self._drive()
        return isr

    def queue_interrupt(self, number: int) -> None:
        """See `Transport`."""
        self._interrupt(number, p.QUEUE_ISR)

    def config_interrupt(self) -> None:
        """See `Transport`."""
        self._interrupt(None, p.CONFIG_ISR)

    def _interrupt(self, which: int | None, why: int) -> None:
        self.isr |= why
        if self.msix.enabled:
            vector = self.common.vector.get(which, p.NO_VECTOR)
            if vector != p.NO_VECTOR:
                self.msix.notify(vector)
        else:
            self._drive()

    def _drive(self) -> None:
        self.set_interrupt(bool(self.isr) and not self.msix.enabled)

    def save(self) -> State:
        """See `PciFunction`; the device's own state is its owner's."""
        return {**super().save(), "isr": self.isr, "common": self.common.save(), "msix": self.msix.save()}

    def restore(self, state: State) -> None:
        """See `PciFunction`."""
        self.isr = state["isr"]
        self.common.restore(state["common"])
        self.msix.restore(state["msix"])
        super().restore(state)
