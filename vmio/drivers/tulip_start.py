"""How the Tulip's driver begins: who are you, where is your PHY, rings, filter, both processes; register by register as Linux does it.

Source: Linux, drivers/net/ethernet/dec/tulip/tulip_core.c (tulip_init_one, tulip_up, set_rx_mode), media.c (tulip_find_mii,
tulip_select_media), eeprom.c (tulip_parse_eeprom).
"""

from vmio.devices.net.tulip import bits as b
from vmio.drivers.errors import DriverError
from vmio.drivers.tulip_serial import SerialPins
from vmio.hypervisor.contracts import Cpu

BUS_MODE = 0x01A0_8000              # read lines and multiples, write and invalidate, 16-longword cache lines
MII_MODE = 0x020E_0000              # CSR6: MII, no heartbeat, capture effect
ENABLED = 0x0001_EBEF               # CSR7 of a 21140A
LEAF, EXTENDED = 27, 0x80           # where the ROM says where its info leaf is; of a block's first byte
RESET, NEGOTIATE, BY_HAND = 1 << 15, 1 << 12, 0xED80      # of the PHY's control; the last: reset, loop, speed, duplex ...
CONTROL, STATUS, ADVERTISE = 0, 1, 4
PHYS = 32
TRIES = 10                          # at a PHY that doesn't come out of its reset


class Leaf:
    """The ROM's info leaf of one controller, of which one MII block is read.  `DriverError` if there is none."""

    def __init__(self, rom: bytes) -> None:
        try:
            self._read(rom)
        except IndexError:
            raise DriverError(f"Tulip: its ROM, {len(rom)} bytes, ends within the info leaf at {rom[LEAF]:#x}") from None

    def _read(self, rom: bytes) -> None:
        at = rom[LEAF]
        self.address = rom[20:26]
        self.direction = rom[at + 2]            # of the general-purpose port
        blocks, at = rom[at + 3], at + 4
        for _ in range(blocks):
            if rom[at] & EXTENDED and rom[at + 1] == 1:
                break
            at += (rom[at] & 0x3F) + 1 if rom[at] & EXTENDED else 4
        else:
            raise DriverError(f"Tulip: its ROM at {rom[LEAF]:#x} describes no MII; {blocks} blocks")
        self.phy = rom[at + 2]
        sequence = at + 4
        self.setup = rom[sequence:sequence + rom[at + 3]]
        reset = sequence + len(self.setup)
        self.reset = rom[reset + 1:reset + 1 + rom[reset]]
        end = reset + 1 + len(self.reset)
        self.advertised = rom[end + 2] | rom[end + 3] << 8 | 1


class Start:
    """The part of a `TulipDriver` that brings the card up; `csr(n)` reads a register, `csr(n, value)` writes it."""

    cpu: Cpu
    pins: SerialPins
    leaf: Leaf
    phy: int                 # its address

    def csr(self, number: int, value: int | None = None) -> int:
        """Read or write a register."""
        raise NotImplementedError

    def _probe(self) -> None:
        """Find out all about the card: some 22,000 accesses."""
        self.csr(6)
        self.csr(8)
        self.leaf = Leaf(self.pins.rom())
        self._select_media(first=True)
        found = []
        for address in (*range(1, PHYS), 0):
            status = self.pins.phy(address, STATUS)
            if not status & 0x8000 and status & 0x7800:
                found.append(address)
                control, advertised = self.pins.phy(address, CONTROL), self.pins.phy(address, ADVERTISE)
                if advertised != self.leaf.advertised:
                    self.pins.set_phy(address, ADVERTISE, self.leaf.advertised)
                wanted = (control | NEGOTIATE) & ~BY_HAND
                if wanted != control:
                    self.pins.set_phy(address, CONTROL, wanted)
        if not found:
            raise DriverError("Tulip: no PHY answers at any of 32 addresses")
        self.phy = found[0]
        self.csr(12, self.leaf.direction | b.PORT_CONTROL)

    def _select_media(self, first: bool = False) -> None:
        """Do what the ROM says about the PHY's pins, and wait until its reset is over."""
        self.csr(12, self.leaf.direction | b.PORT_CONTROL)
        for level in self.leaf.reset:
            self.csr(12, level)
        self.csr(12)
        self.cpu.compute(500_000)
        for _ in range(TRIES):
            if not self.pins.phy(self.leaf.phy, CONTROL) & RESET:
                break
            self.cpu.compute(100_000)
        for level in self.leaf.setup:
            self.csr(12, level)
        self.csr(12)
        if not first:
            self.pins.set_phy(self.phy, ADVERTISE, self.leaf.advertised)
        self.cpu.compute(1_000_000)

    def _open(self, rx_ring: int, tx_ring: int) -> None:
        """Reset, lists, media, both processes; the setup frame is in the transmit ring already."""
        self.csr(6, b.PS)
        self.csr(0, b.RESET)
        self.cpu.compute(100_000)
        self.csr(0, BUS_MODE)
        self.cpu.compute(100_000)
        self.csr(3, rx_ring)
        self.csr(4, tx_ring)
        self._select_media()
        self.csr(6)                       # neither process runs
        self.cpu.compute(5_000)
        self.csr(6, MII_MODE | b.ST)
        self.csr(5, ENABLED)
        self.csr(7, ENABLED)
        self.csr(6, MII_MODE | b.ST | b.SR)
        self.csr(6)
        self.csr(2, 0)
