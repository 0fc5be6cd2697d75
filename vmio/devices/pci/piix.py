"""The chipset of a PC of 1996 as its PCI functions: 440FX host bridge, PIIX3 and PIIX4.

    0:0.0  82441FX  host bridge
    0:1.0  82371SB  PIIX3 PCI-to-ISA bridge: routes PCI interrupts to ISA ones
    0:1.1  82371SB  PIIX3 IDE: timing registers, BAR 4 = bus-master registers
    0:1.3  82371AB  PIIX4 power management

Only what a driver can tell is modelled: identities, power-on values, interrupt
routing, BAR 4, the base of the power management registers.  Timing, cache and decode registers hold what is written.

Sources: Intel 290549 (82441FX PMC), 290550 (82371SB PIIX3), 290562 (82371AB PIIX4).
"""

from collections.abc import Sequence
from typing import Any

from vmio.devices.ata.bmide import BusMaster
from vmio.devices.pc.power_block import PORTS, PowerBlock
from vmio.devices.pci.bar import Bar
from vmio.devices.pci.function import Identity, PciFunction
from vmio.devices.pci.header import HEADER_TYPE, STATUS
from vmio.machine.bus import Bus, Region
from vmio.machine.lines import Line

INTEL = 0x8086
SUBSYSTEM = (0x1AF4, 0x1100)   # no 1996 chip has one; QEMU's identity, so that drivers see its `pc`
MEDIUM, FAST_BACK_TO_BACK = {STATUS + 1: 0x02}, {STATUS: 0x80}   # DEVSEL# timing, back-to-back capable
MULTIFUNCTION = {HEADER_TYPE: 0x80}
BUS_MASTER_BAR, BUS_MASTER_PORTS = 4, 16
PIRQS = 4
PIRQ_ROUTE = 0x60              # one byte each for PIRQA# to PIRQD# (PIIX3 2.2.9)
ROUTE_OFF = 0x80               # bit 7: not routed


def host_bridge(ram_mib: int = 16) -> PciFunction:
    """Return the 440FX.  57h tells RAM in units of 8 MiB, 72h is SMRAM control at its default."""
    return PciFunction(Identity(INTEL, 0x1237, 0x060000, revision=2, subsystem=SUBSYSTEM),
                       preset={0x57: min(ram_mib // 8, 255), 0x72: 0x02})


def ide_function(bus_master: BusMaster | None = None) -> PciFunction:
    """Return the PIIX3's IDE function: legacy ports and interrupts, and in BAR 4 the 16 ports of `bus_master`."""
    return PciFunction(Identity(INTEL, 0x7010, 0x010180, subsystem=SUBSYSTEM), preset=MEDIUM | FAST_BACK_TO_BACK,
                       bars={BUS_MASTER_BAR: Bar(BUS_MASTER_PORTS, io=True, registers=bus_master)})


class PowerManagement(PciFunction):
    """The PIIX4's function 3: its registers of power management answer where software puts them.

    The base is in 40h, bits 15:6; bit 0 of 80h lets them answer (7.1.1, 7.1.14).  5Fh, 63h and 67h tell which
    legacy devices the board has; 67h bit 3 is serial port A.
    """

    BASE, MISCELLANEOUS = 0x40, 0x80

    def __init__(self, block: PowerBlock | None = None, io: Bus | None = None) -> None:
        self.block = block
        self._io = io
        self._region: Region | None = None
        super().__init__(Identity(INTEL, 0x7113, 0x068000, revision=3, subsystem=SUBSYSTEM), pin=1,
                         preset=MEDIUM | FAST_BACK_TO_BACK | {
                             0x40: 0x01, 0x5F: 0x10, 0x63: 0x60, 0x67: 0x08, 0x90: 0x01, 0x91: 0xB1, 0xD2: 0x09})

    def obey(self) -> None:
        """Follow the base, too: where somebody answers already the registers do not."""
        super().obey()
        base = self.header.get(self.BASE, 2) & -PORTS if self.header.bytes[self.MISCELLANEOUS] & 1 else 0
        if self._io is None or self.block is None or self._region is not None and self._region.base == base:
            return
        if self._region is not None:
            self._io.detach(self._region)
            self._region = None
        if base and self._io.is_free(base, PORTS):
            self._region = self._io.attach(base, PORTS, self.block, "power", width=4)


def pirq_of(device: int, pin: int) -> int:
    """Return which PIRQ (0 to 3) a slot's INTA# to INTD# (`pin` 0 to 3) is wired to on the board.

    Boards rotate the wires from slot to slot, so that one-function cards don't share.
    """
    return (device - 1 + pin) % PIRQS


class IsaBridge(PciFunction):
    """The PIIX3's function 0.  `isa_lines` are the 16 ISA interrupt inputs it may drive.

    Several PIRQs may share one ISA interrupt; it is high while any of them is.
    An ISA interrupt that no PIRQ is routed to is left alone.
    """

    POWER_ON = {0x4C: 0x4D, 0x4E: 0x03, 0x60: ROUTE_OFF, 0x61: ROUTE_OFF, 0x62: ROUTE_OFF, 0x63: ROUTE_OFF,
                0x69: 0x02, 0x70: 0x80, 0x76: 0x0C, 0x77: 0x0C, 0x78: 0x02, 0xA0: 0x08, 0xA8: 0x0F}

    def __init__(self, isa_lines: Sequence[Line]) -> None:
        super().__init__(Identity(INTEL, 0x7000, 0x060100, subsystem=SUBSYSTEM),
                         preset=MULTIFUNCTION | MEDIUM | self.POWER_ON)
        self.isa_lines = isa_lines
        self.pirq = [0] * PIRQS
        self._driven: set[int] = set()

    def set_pirq(self, number: int, level: int) -> None:
        """PIRQ `number` (0 is PIRQA#) is asserted (1) or not (0)."""
        self.pirq[number] = int(bool(level))
        self._route()

    def write(self, offset: int, size: int, value: int) -> None:
        """Configuration write; a changed route moves the interrupt at once."""
        super().write(offset, size, value)
        if offset < PIRQ_ROUTE + PIRQS and offset + size > PIRQ_ROUTE:
            self._route()

    def reset(self) -> None:
        """Nothing is routed after a reset."""
        super().reset()
        self._route()

    def save(self) -> Any:
        """Return the configuration space and the PIRQ inputs."""
        return {**super().save(), "pirq": list(self.pirq)}

    def restore(self, state: Any) -> None:
        """Take over what `save` gave."""
        super().restore(state)
        self.pirq = list(state["pirq"])
        self._route()

    def _route(self) -> None:
        """Drive each ISA line that is, or was, some PIRQ's."""
        high: dict[int, int] = {}
        for level, route in zip(self.pirq, self.header.bytes[PIRQ_ROUTE:PIRQ_ROUTE + PIRQS]):
            if route < len(self.isa_lines):
                high[route] = high.get(route, 0) | level
        for line in sorted(self._driven | set(high)):
            self.isa_lines[line].set(high.get(line, 0))
        self._driven = set(high)
