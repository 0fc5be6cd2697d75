"""The task file: the registers that every ATA device has, and the address that they spell.

Both devices of a channel hear every register write, so each keeps a task file
of its own.  ATA/ATAPI-6 (T13/1410D) clause 7 describes the registers, clause
6.20 the 48-bit ones: those are two bytes deep, and the older byte is read with
the HOB bit of the control register.
"""

from vmio.machine.contracts import State

# Status register, clause 7.15
BSY, DRDY, DSC, DRQ, ERR = 0x80, 0x40, 0x10, 0x08, 0x01
READY = DRDY | DSC
# Error register, clause 7.9
ABRT, UNC = 0x04, 0x40
# Device register, clause 7.7; bits 7 and 5 are obsolete and read as ones
ALWAYS_ON, LBA, DEV, HEAD = 0xA0, 0x40, 0x10, 0x0F

REGISTERS = ("feature", "error", "count", "sector", "low", "high", "select", "status", "lba48",
             "hob_feature", "hob_count", "hob_sector", "hob_low", "hob_high")


class TaskFile:
    """The registers of one device; the base of `AtaDisk`, and on its own a device that isn't there.

    `count` holds sectors still to move once a command runs, so it may exceed a
    byte (up to 65,536); what the host reads is its low byte.
    """

    __slots__ = REGISTERS
    feature: int
    error: int
    hob_feature: int
    hob_count: int
    present = False
    signature = 0xFF  # cylinder registers after a reset, of nobody

    def __init__(self) -> None:
        self.reset_registers()

    def reset_registers(self) -> None:
        """Power-on, hardware or software reset: the signature of clause 9.12 in the registers."""
        for name in REGISTERS:
            setattr(self, name, 0)
        self.status = READY
        self.sign()

    def sign(self) -> None:
        """Place the signature: sector count 1, sector 1, cylinder by kind of device, device 0."""
        self.count = self.sector = 1
        self.low = self.high = self.signature
        self.select = ALWAYS_ON

    def get_lba(self, heads: int, sectors: int) -> int:
        """Return the sector that the registers name (clause 6.2); CHS sector 0 of cylinder 0 gives -1."""
        if not self.select & LBA:
            cylinder = self.high << 8 | self.low
            return (cylinder * heads + (self.select & HEAD)) * sectors + self.sector - 1
        low24 = self.high << 16 | self.low << 8 | self.sector
        if self.lba48:
            return self.hob_high << 40 | self.hob_low << 32 | self.hob_sector << 24 | low24
        return (self.select & HEAD) << 24 | low24

    def largest_lba(self, heads: int, sectors: int) -> int:
        """Return the last sector that the registers can name in the form (CHS, LBA28, LBA48) that the command used."""
        if self.select & LBA:
            return (1 << (48 if self.lba48 else 28)) - 1
        return 65536 * heads * sectors - 1

    def set_lba(self, lba: int, heads: int, sectors: int) -> None:
        """Make the registers name sector `lba`, in the form (CHS, LBA28, LBA48) that the command used."""
        if self.select & LBA:
            self.sector, self.low, self.high = lba & 0xFF, lba >> 8 & 0xFF, lba >> 16 & 0xFF
            if self.lba48:
                self.hob_sector, self.hob_low, self.hob_high = lba >> 24 & 0xFF, lba >> 32 & 0xFF, lba >> 40 & 0xFF
            else:
                self.select = self.select & ~HEAD | lba >> 24 & HEAD
        else:
            track, sector = divmod(lba, sectors)
            cylinder, head = divmod(track, heads)
            self.sector = sector + 1 & 0xFF
            self.low, self.high = cylinder & 0xFF, cylinder >> 8 & 0xFF
            self.select = self.select & ~HEAD | head & HEAD

    def expand_count(self, lba48: bool) -> None:
        """Turn the count registers into a number of sectors; zero means the most that they can name."""
        self.lba48 = int(lba48)
        if lba48:
            self.count = (self.hob_count << 8 | self.count & 0xFF) or 65536
        else:
            self.count = self.count or 256

    def save(self) -> State:
        """Return the registers as plain data."""
        return {name: getattr(self, name) for name in REGISTERS}

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        for name in REGISTERS:
            setattr(self, name, state[name])
