"""The Tulip's serial ROM and its PHY, bit by bit through CSR9: each bit is four to six accesses, and each access an exit.

Source: Linux, drivers/net/ethernet/dec/tulip/eeprom.c (tulip_read_eeprom), media.c (tulip_mdio_read, tulip_mdio_write).
"""

from vmio.devices.net.tulip import bits as b
from vmio.hypervisor.contracts import Cpu

ENABLE = 0x4800 | b.SROM_CS         # the serial ROM is selected, and read
READ = 6                            # a start bit, and the operation
WORD_BITS = 16
CSR9 = 9 * 8


class SerialPins:
    """CSR9 at port `base` + 48h."""

    def __init__(self, cpu: Cpu, base: int) -> None:
        self.cpu, self.port = cpu, base + CSR9

    def _put(self, pins: int) -> int:
        """Set the pins; returns what they say after a moment, which is another read: the wire is slower than the bus."""
        self.cpu.outl(self.port, pins)
        return self.cpu.inl(self.port)

    def rom_word(self, at: int, address_bits: int) -> int:
        """Return a word, and above it what the ROM said during the command."""
        command, said = at | READ << address_bits, 0
        self.cpu.outl(self.port, ENABLE & ~b.SROM_CS)
        self.cpu.outl(self.port, ENABLE)
        for n in range(4 + address_bits, -1, -1):
            bit = b.SROM_IN if command >> n & 1 else 0
            self._put(ENABLE | bit)
            self._put(ENABLE | bit | b.SROM_CLOCK)
            said = said << 1 | bool(self.cpu.inl(self.port) & b.SROM_OUT)
        self._put(ENABLE)
        for _ in range(WORD_BITS):
            self._put(ENABLE | b.SROM_CLOCK)
            said = said << 1 | bool(self.cpu.inl(self.port) & b.SROM_OUT)
            self._put(ENABLE)
        self.cpu.outl(self.port, ENABLE & ~b.SROM_CS)
        return said

    def rom(self) -> bytes:
        """Return the whole ROM but its last word, which is its checksum; its size is told by when it begins to answer."""
        address_bits = 8 if self.rom_word(0xFF, 8) >> WORD_BITS + 2 & 1 else 6
        return b"".join((self.rom_word(at, address_bits) & 0xFFFF).to_bytes(2, "little") for at in range((1 << address_bits) - 1))

    def _shift(self, bits: int, count: int) -> None:
        for n in range(count - 1, -1, -1):
            bit = b.MDO if bits >> n & 1 else 0
            self._put(bit)
            self._put(bit | b.MDC)

    def phy(self, address: int, register: int) -> int:
        """Return a register of the PHY at an address: all ones, or zeros, if there is none."""
        self._shift((1 << 33) - 1, 33)
        self._shift(0xF6 << 10 & 0xFFFF | address << 5 | register, 16)
        said = 0
        for _ in range(19):             # two of turnaround, 16 of data, one more
            self._put(b.MII_INPUT)
            said = said << 1 | bool(self.cpu.inl(self.port) & b.MDI)
            self._put(b.MII_INPUT | b.MDC)
        return said >> 1 & 0xFFFF

    def set_phy(self, address: int, register: int, value: int) -> None:
        """Write a register of the PHY at an address."""
        self._shift((1 << 33) - 1, 33)
        self._shift(0x5002 << 16 | address << 23 | register << 18 | value, 32)
        for _ in range(2):
            self._put(b.MII_INPUT)
            self._put(b.MII_INPUT | b.MDC)
