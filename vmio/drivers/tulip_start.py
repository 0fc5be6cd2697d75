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
ENABLED = {"21140A": 0x0001_EBEF, "21143": 0x0801_FBFF}     # CSR7
LEAF, EXTENDED = 27, 0x80           # where the ROM says where its info leaf is; of a block's first byte
RESET, NEGOTIATE, BY_HAND = 1 << 15, 1 << 12, 0xED80      # of the PHY's control; the last: reset, loop, speed, duplex ...
CONTROL, STATUS, ADVERTISE = 0, 1, 4
PHYS = 32
TRIES = 10                          # at a PHY that doesn't come out of its reset


class Leaf:
    """The ROM's info leaf of one controller, of which one MII block is read.  `DriverError` if there is none.

    `chip` says how: a 21140A's has the direction of eight pins, and what is put to them in bytes, a 21143's in words.
    """

    def __init__(self, rom: bytes, chip: str = "21140A") -> None:
        try:
            self._read(rom, chip == "21140A")
        except IndexError:
            raise DriverError(f"Tulip: its ROM, {len(rom)} bytes, ends within the info leaf at {rom[LEAF]:#x}") from None

    def _read(self, rom: bytes, eight_pins: bool) -> None:
        at = rom[LEAF]
        self.address = rom[20:26]
        self.direction = rom[at + 2] if eight_pins else 0       # of the general-purpose port
        at += 3 if eight_pins else 2
        blocks, at = rom[at], at + 1
        for _ in range(blocks):
            if rom[at] & EXTENDED and rom[at + 1] == (1 if eight_pins else 3):
                break
            at += (rom[at] & 0x3F) + 1 if rom[at] & EXTENDED else 4
        else:
            raise DriverError(f"Tulip: its ROM at {rom[LEAF]:#x} describes no MII; {blocks} blocks")
        self.phy = rom[at + 2]
        width = 1 if eight_pins else 2
        self.setup, end = self._sequence(rom, at + 3, width)
        self.reset, end = self._sequence(rom, end, width)
        self.advertised = rom[end + 2] | rom[end + 3] << 8 | 1


    @staticmethod
    def _sequence(rom: bytes, at: int, width: int) -> tuple[list[int], int]:
        """Return what is put to the pins one after the other, and where it ends in the ROM; its length is in front of it."""
        end = at + 1 + rom[at] * width
        return [int.from_bytes(rom[n:n + width], "little") for n in range(at + 1, end, width)], end


class Start:
    """The part of a `TulipDriver` that brings the card up; `csr(n)` reads a register, `csr(n, value)` writes it."""

    cpu: Cpu
    chip: str
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
        self.leaf = Leaf(self.pins.rom(), self.chip)
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
        if self.chip == "21140A":
            self.csr(12, self.leaf.direction | b.PORT_CONTROL)

    def _select_media(self, first: bool = False) -> None:
        """Do what the ROM says about the PHY's pins, and wait until its reset is over."""
        if self.chip == "21140A":
            self.csr(12, self.leaf.direction | b.PORT_CONTROL)
        self._put_to_pins(self.leaf.reset)
        self.cpu.compute(500_000)
        for _ in range(TRIES):
            if not self.pins.phy(self.leaf.phy, CONTROL) & RESET:
                break
            self.cpu.compute(100_000)
        self._put_to_pins(self.leaf.setup)
        if not first:
            self.pins.set_phy(self.phy, ADVERTISE, self.leaf.advertised)
        self.cpu.compute(1_000_000)

    def _put_to_pins(self, levels: list[int]) -> None:
        """One level after the other, of the 21140A's pins in CSR12 or the 21143's in CSR15, and a read that waits for the last."""
        register, shift = (12, 0) if self.chip == "21140A" else (15, 16)
        for level in levels:
            self.csr(register, level << shift)
        self.csr(register)

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
        if self.chip == "21143":
            self.csr(13, 0)               # its own serial interface is not used
            self.csr(14, 0)
        self.cpu.compute(5_000)
        self.csr(6, MII_MODE | b.ST)
        self.csr(5, ENABLED[self.chip])
        self.csr(7, ENABLED[self.chip])
        self.csr(6, MII_MODE | b.ST | b.SR)
        self.csr(6)
        self.csr(2, 0)
