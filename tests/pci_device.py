"""The device of CONTRIBUTING's recipe, and one that has of every part several."""

from vmio.devices.pci.bar import Bar
from vmio.devices.pci.function import Identity, PciFunction
from vmio.devices.pci.msi import Msi
from vmio.devices.pci.msix import Msix, MsixCapability
from vmio.machine.bus import all_ones


class Adder:
    """What is stored is added to a sum; `done(level)` interrupts, a store of 0 clears sum and interrupt."""

    memory = None

    def __init__(self):
        self.done = lambda level: None
        self.total = 0

    def reset(self):
        self.total = 0
        self.done(0)

    def read(self, offset, size):
        return self.total & all_ones(size)

    def write(self, offset, size, value):
        self.total = self.total + value if value else 0
        self.done(int(value != 0))

    def save(self):
        return self.total

    def restore(self, state):
        self.total = state


def adder_function(adder):
    """By message if software enables that, else by INTA#."""
    msi = Msi()
    function = PciFunction(Identity(0x1234, 0xADD0, 0xFF0000), {0: Bar(4096, registers=adder)}, [msi], adder, pin=1)

    def done(level):
        if not msi.enabled:
            function.set_interrupt(level)
        elif level:
            msi.notify()
    adder.done = done
    return function


class Cells:
    """Registers that hold what is stored, `name` apart; a store at 0 makes `rung(vector)`."""

    def __init__(self):
        self.cells, self.rung = {}, lambda vector: None

    def read(self, offset, size):
        return self.cells.get(offset, 0) & all_ones(size)

    def write(self, offset, size, value):
        self.cells[offset] = value
        if not offset:
            self.rung(value)


class ManyBars:
    """A device with three memory BARs and one of ports; MSI-X tables in the second page of BAR 2."""

    def __init__(self):
        self.memory, self.msix = None, Msix(3, lambda vector: None)
        self.small, self.middle, self.large, self.ports = Cells(), Cells(), Cells(), Cells()
        self.small.rung = lambda vector: self.msix.enabled and self.msix.notify(vector)
        self.stored = None          # what a guest has left

    def reset(self):
        for cells in (self.small, self.middle, self.large, self.ports):
            cells.cells.clear()
        self.msix.reset()

    def read(self, offset, size):
        """BAR 2: cells, and the tables among them."""
        if 0x1000 <= offset < 0x1800:
            return self.msix.read_table(offset - 0x1000, size)
        return self.msix.read_pending(offset - 0x1800, size) if offset == 0x1800 else self.large.read(offset, size)

    def write(self, offset, size, value):
        if 0x1000 <= offset < 0x1800:
            self.msix.write_table(offset - 0x1000, size, value)
        else:
            self.large.write(offset, size, value)


class ManyBarsFunction(PciFunction):
    """`device` is a `ManyBars`; what it has `stored` outlives a reset."""

    persistent = True

    def __init__(self, device):
        super().__init__(Identity(0x1234, 0x0BA5, 0x020000, 3), {
            0: Bar(256, registers=device.small), 1: Bar(0x2000, registers=device.middle, trapped=((0x1FF8, 8),)),
            2: Bar(0x4000, wide=True, prefetch=True, registers=device, width=8), 4: Bar(16, io=True, registers=device.ports)},
            [MsixCapability(device.msix, (2, 0x1000), (2, 0x1800))], device)

    def scrub(self):
        self.device.stored = None
