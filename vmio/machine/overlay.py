"""A difference disk: somebody's own writes over an image that is shared and stays as it was."""

from collections.abc import Iterator

from vmio.machine.checkpoint import Form, State, same
from vmio.machine.contracts import Buffer, Sectors
from vmio.machine.media.medium import SECTOR, Medium, check_growth, merged
from vmio.machine.media.ranges import Ranges

OVERLAY = Form("overlay", 1, "sectors", "own", "zeroed")


class Overlay(Medium):
    """Reads like `base` (anything with a medium's methods) until a sector is written; writes stay here.

    It may have more sectors than its base, by `grow`: these are zeros until they are written.
    `own` is all that was written, by LBA; `zeroed` what was discarded before that.
    """

    __slots__ = ("base", "name", "sectors", "own", "zeroed")

    def __init__(self, base: Medium, name: str | None = None) -> None:
        self.base, self.name, self.sectors = base, name or f"difference over {base.name}", base.sectors
        self.own: dict[int, bytes] = {}   # LBA -> 512 bytes
        self.zeroed = Ranges()

    def read(self, lba: int, count: int = 1) -> Sectors:
        """Return `count` sectors from `lba`, as bytes; ValueError beyond the last sector."""
        below = self.base.sectors
        if lba + count <= below:
            data = self.base.read(lba, count)
        else:
            self.check_read(lba, count)
            there = max(0, min(count, below - lba))
            data = b"".join((self.base.read(lba, there) if there else b"", bytes((count - there) * SECTOR)))
        own = self.own
        if self.zeroed.starts:
            data = self._blank(lba, data)
        if not own or own.keys().isdisjoint(range(lba, lba + count)):
            return data
        return b"".join(own.get(lba + i) or data[i * SECTOR:(i + 1) * SECTOR] for i in range(count))

    def _blank(self, lba: int, data: Sectors) -> Sectors:
        """`data`, read at `lba`, with zeros where sectors were discarded."""
        for start, end in self.zeroed.within(lba, lba + len(data) // SECTOR):
            data = b"".join((data[:(start - lba) * SECTOR], bytes((end - start) * SECTOR), data[(end - lba) * SECTOR:]))
        return data

    def write(self, lba: int, data: Buffer) -> None:
        """Store `data`, a whole number of sectors, from `lba`; ValueError beyond the last sector."""
        for i in range(self.check_write(lba, data)):
            self.own[lba + i] = bytes(data[i * SECTOR:(i + 1) * SECTOR])

    def grow(self, sectors: int) -> None:
        """Have so many sectors; the new ones are zeros.  ValueError, with nothing changed, for fewer, or for more than a disk has."""
        check_growth(self.name, self.sectors, sectors)
        self.sectors = sectors

    def saved_sectors(self) -> State:
        """Return what was written and discarded here; the base stays as it was, and is not in it."""
        return OVERLAY.state(sectors=self.sectors, own=self.own.items(), zeroed=zip(self.zeroed.starts, self.zeroed.ends))

    def take_back(self, state: State) -> None:
        """Hold what `saved_sectors` gave, over an equal base."""
        saved = OVERLAY.take(state)
        same(f"image {self.name}, sectors", saved["sectors"], self.sectors)
        self.own = {lba: data for lba, data in saved["own"]}
        self.zeroed = Ranges()
        for start, end in saved["zeroed"]:
            self.zeroed.add(start, end)

    def extents(self) -> Iterator[tuple[int, int]]:
        """Return what was written here, and what the base has; what was discarded is not taken out."""
        base = self.base.extents() if hasattr(self.base, "extents") else [(0, self.sectors)]
        return merged(base, ((lba, lba + 1) for lba in sorted(self.own)))

    def discard(self, lba: int, count: int) -> None:
        """Make sectors read as zeros, and forget what was written there: as quick for a whole disk as for a sector."""
        self.check_read(lba, count)
        own, gone = self.own, range(lba, lba + count)
        for at in [at for at in own if at in gone] if count > len(own) else gone:
            own.pop(at, None)
        self.zeroed.add(lba, lba + count)
