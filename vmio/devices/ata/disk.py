"""An ATA disk: a task file, the sectors behind it, and what the disk remembers between commands."""

from vmio.devices.ata.identify import MAX_MULTIPLE, WORDS, identify_words
from vmio.devices.ata.smart import Smart
from vmio.devices.ata.taskfile import TaskFile

MOST_SECTORS = 1 << 48          # an LBA48 address names no more (ATA/ATAPI-6, 6.2)
MODE_NONE = (0x07, 0x07, 0x3F)  # words 62, 63 and 88: supported modes, none selected


def guess_geometry(sectors):
    """Cylinders, heads and sectors per track of a disk with no partition table: 16 heads of 63 sectors.

    The cylinders are at least 2 and at most 16,383, as a PC's firmware expects.
    """
    return min(max(sectors // (16 * 63), 2), 16383), 16, 63


class AtaDisk(TaskFile):
    """One hard disk; give it to an `AtaChannel` as master or slave.

    `image` is a medium of up to 2^48 sectors.  `geometry` is (cylinders,
    heads, sectors per track), guessed from the size when it is not given;
    ValueError when it is out of what the registers can say (65535/16/255).
    """

    __slots__ = ("image", "model", "serial", "firmware", "geometry", "heads", "sectors",
                 "multiple", "write_cache", "smart", "_identify")
    present = True
    signature = 0x00

    def __init__(self, image, model="VMIO ORACLE DISK", serial="VMIO0001", firmware="1.0", geometry=None):
        geometry = tuple(geometry or guess_geometry(image.sectors))
        if len(geometry) != 3 or not all(1 <= n <= most for n, most in zip(geometry, (65535, 16, 255))):
            raise ValueError(f"geometry: {geometry} is not within (1 to 65535, 1 to 16, 1 to 255)")
        if image.sectors > MOST_SECTORS:
            raise ValueError(f"image {image.name}: {image.sectors} sectors; an ATA disk has at most 2^48 ({MOST_SECTORS})")
        self.image, self.model, self.serial, self.firmware = image, model, serial, firmware
        self.geometry = geometry
        _, self.heads, self.sectors = geometry  # the CHS translation in use
        self.write_cache = True
        self.smart = Smart()
        self._identify = None
        super().__init__()

    def reset_registers(self):
        """A reset brings the registers and the block size of READ MULTIPLE back; SMART and translation stay."""
        self.multiple = MAX_MULTIPLE
        super().reset_registers()

    def translate(self, heads, sectors):
        """INITIALIZE DEVICE PARAMETERS: CHS addresses count with these from now on; 0 sectors are refused."""
        if sectors:
            self.heads, self.sectors = heads, sectors

    @property
    def lba(self):
        """The sector that the registers name now."""
        return self.get_lba(self.heads, self.sectors)

    def advance(self, lba, count):
        """`count` sectors from `lba` have moved: the registers name the next one and what is left."""
        self.count -= count
        after = self.sector + count
        if after <= 0xFF and self.select & 0x40:  # LBA without a carry, nearly always
            self.sector = after
        else:
            self.set_lba(lba + count, self.heads, self.sectors)

    def show_lba(self, lba):
        """Put `lba` in the registers, or the largest address that this form of them can name (READ NATIVE MAX ADDRESS)."""
        self.set_lba(min(lba, self.largest_lba(self.heads, self.sectors)), self.heads, self.sectors)

    def in_range(self, lba, count):
        """Whether the disk has all of these sectors."""
        return 0 <= lba <= self.image.sectors - count

    def store(self, lba, data):
        """Write sectors; false if the medium fails: it may be a file of a host that is full."""
        return self._change(lba, len(data) // 512, self.image.write, lba, data)

    def discard(self, lba, count):
        """Make sectors read as zeros; false if the medium fails."""
        return self._change(lba, count, self.image.discard, lba, count)

    def _change(self, lba, count, method, *arguments):
        """Without a write cache (SET FEATURES 82h) what was written is on the medium before the command ends."""
        try:
            method(*arguments)
            if not self.write_cache:
                self.image.persist(lba, count)
        except (OSError, ValueError):
            return False
        return True

    def flush(self):
        """All that was written is on the medium; false if it fails."""
        try:
            self.image.flush()
        except (OSError, ValueError):
            return False
        return True

    def identify_words(self):
        """The kept words of IDENTIFY DEVICE, made at the first call."""
        if self._identify is None:
            self._identify = identify_words(self)
        return self._identify

    def identify(self):
        """The 512 bytes of IDENTIFY DEVICE."""
        return WORDS.pack(*self.identify_words())

    def change_words(self, words):
        """SET FEATURES changes some kept words ({index: value}); a page not made yet has its defaults."""
        if self._identify is not None:
            for index, value in words.items():
                self._identify[index] = value

    def save(self):
        """Registers, modes and SMART; the sectors are the image's own affair (`Image.save`)."""
        state = super().save()
        state.update(heads=self.heads, sectors=self.sectors, multiple=self.multiple, write_cache=self.write_cache,
                     smart=self.smart.save(), identify=self._identify and list(self._identify))
        return state

    def restore(self, state):
        """Take back what `save` gave."""
        super().restore(state)
        self.heads, self.sectors = state["heads"], state["sectors"]
        self.multiple, self.write_cache = state["multiple"], state["write_cache"]
        self.smart.restore(state["smart"])
        self._identify = state["identify"] and list(state["identify"])
