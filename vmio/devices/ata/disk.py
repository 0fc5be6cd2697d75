"""An ATA disk: a task file, the sectors behind it, and what the disk remembers between commands."""

from collections.abc import Callable

from vmio.devices.ata.identify import MAX_MULTIPLE, WORDS, identify_words
from vmio.devices.ata.smart import Smart
from vmio.devices.ata.taskfile import TaskFile
from vmio.machine.contracts import Buffer, SectorStore, Sectors, State
from vmio.machine.media.medium import BeyondEnd

MAX_SECTORS = 1 << 48          # an LBA48 address names no more (ATA/ATAPI-6, 6.2)


def guess_geometry(sectors: int) -> tuple[int, int, int]:
    """Cylinders, heads and sectors per track of a disk with no partition table: 16 heads of 63 sectors.

    The cylinders are at least 2 and at most 16,383, as a PC's firmware expects.
    """
    return min(max(sectors // (16 * 63), 2), 16383), 16, 63


class AtaDisk(TaskFile):
    """One hard disk; give it to an `AtaChannel` as master or slave.

    `image` is a medium of up to 2^48 sectors.  `geometry` is (cylinders,
    heads, sectors per track), guessed from the size when it is not given;
    ValueError when it is out of what the registers can say (65535/16/255).
    Without `dma` the disk has no DMA modes, as those before 1994: it says so, and aborts each command that needs one.
    """

    __slots__ = ("image", "model", "serial", "firmware", "geometry", "dma", "heads", "sectors",
                 "multiple", "write_cache", "smart", "_identify")
    present = True
    signature = 0x00

    def __init__(self, image: SectorStore, model: str = "VMIO ORACLE DISK", serial: str = "VMIO0001", firmware: str = "1.0",
                 geometry: tuple[int, int, int] | None = None, dma: bool = True) -> None:
        geometry = geometry or guess_geometry(image.sectors)
        if len(geometry) != 3 or not all(1 <= n <= most for n, most in zip(geometry, (65535, 16, 255))):
            raise ValueError(f"geometry: {geometry} is not within (1 to 65535, 1 to 16, 1 to 255)")
        if image.sectors > MAX_SECTORS:
            raise ValueError(f"image {image.name}: {image.sectors} sectors; an ATA disk has at most 2^48 ({MAX_SECTORS})")
        self.image, self.model, self.serial, self.firmware, self.dma = image, model, serial, firmware, dma
        self.geometry = geometry = (geometry[0], geometry[1], geometry[2])
        _, self.heads, self.sectors = geometry  # the CHS translation in use
        self.write_cache = True
        self.smart = Smart()
        self._identify: list[int] | None = None
        super().__init__()

    def reset_registers(self) -> None:
        """A reset brings the registers and the block size of READ MULTIPLE back; SMART and translation stay."""
        self.multiple = MAX_MULTIPLE
        super().reset_registers()

    def translate(self, heads: int, sectors: int) -> None:
        """INITIALIZE DEVICE PARAMETERS: CHS addresses count with these from now on; 0 sectors are refused."""
        if sectors:
            self.heads, self.sectors = heads, sectors

    @property
    def lba(self) -> int:
        """The sector that the registers name now."""
        return self.get_lba(self.heads, self.sectors)

    def advance(self, lba: int, count: int) -> None:
        """`count` sectors from `lba` have moved: the registers name the next one and what is left."""
        self.count -= count
        after = self.sector + count
        if after <= 0xFF and self.select & 0x40:  # LBA without a carry, nearly always
            self.sector = after
        else:
            self.set_lba(lba + count, self.heads, self.sectors)

    def show_lba(self, lba: int) -> None:
        """Put `lba` in the registers, or the largest address that this form of them can name (READ NATIVE MAX ADDRESS)."""
        self.set_lba(min(lba, self.largest_lba(self.heads, self.sectors)), self.heads, self.sectors)

    def in_range(self, lba: int, count: int) -> bool:
        """Return whether the disk has all of these sectors."""
        return 0 <= lba <= self.image.sectors - count

    def fetch(self, lba: int, count: int) -> Sectors | None:
        """Return sectors; None if the medium fails: it may be a file that somebody has cut, or a device that has gone."""
        try:
            return self.image.read(lba, count)
        except BeyondEnd:      # what in_range is there to refuse is not the medium's failure
            raise
        except (OSError, ValueError):
            return None

    def store(self, lba: int, data: Buffer) -> bool:
        """Write sectors; false if the medium fails: it may be a file of a host that is full."""
        return self._change(lba, len(data) // 512, self.image.write, lba, data)

    def discard(self, lba: int, count: int) -> bool:
        """Make sectors read as zeros; false if the medium fails."""
        return self._change(lba, count, self.image.discard, lba, count)

    def _change(self, lba: int, count: int, method: Callable[..., None], *arguments: int | Buffer) -> bool:
        """Without a write cache (SET FEATURES 82h) what was written is on the medium before the command ends."""
        try:
            method(*arguments)
            if not self.write_cache:
                self.image.persist(lba, count)
        except (OSError, ValueError):
            return False
        return True

    def flush(self) -> bool:
        """Put all that was written on the medium; False if it fails."""
        try:
            self.image.flush()
        except (OSError, ValueError):
            return False
        return True

    def identify_words(self) -> list[int]:
        """Return the kept words of IDENTIFY DEVICE, made at the first call."""
        if self._identify is None:
            self._identify = identify_words(self)
        return self._identify

    def identify(self) -> bytes:
        """Return the 512 bytes of IDENTIFY DEVICE."""
        return WORDS.pack(*self.identify_words())

    def change_words(self, words: dict[int, int]) -> None:
        """SET FEATURES changes some kept words ({index: value}); a page not made yet has its defaults."""
        if self._identify is not None:
            for index, value in words.items():
                self._identify[index] = value

    def save(self) -> State:
        """Registers, modes and SMART; the sectors are the image's own affair (`Image.save`)."""
        state = super().save()
        state.update(heads=self.heads, sectors=self.sectors, multiple=self.multiple, write_cache=self.write_cache,
                     smart=self.smart.save(), identify=self._identify and list(self._identify))
        return state

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        super().restore(state)
        self.heads, self.sectors = state["heads"], state["sectors"]
        self.multiple, self.write_cache = state["multiple"], state["write_cache"]
        self.smart.restore(state["smart"])
        self._identify = state["identify"] and list(state["identify"])
