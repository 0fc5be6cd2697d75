"""A disk with a volatile write cache: a write that nobody flushed may be lost when the power is cut.

Such a disk says "written" when the data are in its cache.  It may put them on the
medium at any time and in any order, and only a flush says that it has.  So after
a power cut each sector holds what was stable, or anything that was written to it
since, whatever became of its neighbours; a write is never torn inside a sector
(NVMe 1.4, 6.4: an AWUPF of 0 is one logical block).
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from vmio.machine.checkpoint import Form, State
from vmio.machine.contracts import Buffer, Sectors
from vmio.machine.media.medium import SECTOR, Medium, merged

CACHE = Form("write cache", 1, "log", "last", "base")
ZEROS = bytes(SECTOR)
CAPACITY = 65_536      # sectors: 32 MiB


class Cut(NamedTuple):
    """Sectors that were not flushed when the power was cut: `kept` have their newest content, `lost` an older one."""

    kept: int
    lost: int


class VolatileCache(Medium):
    """Reads and writes like `base`, but `base` gets what is written no earlier than a flush.

    When more than `capacity` sectors wait, the oldest goes to `base` without being asked for.
    """

    __slots__ = ("base", "name", "sectors", "capacity", "_log", "_numbers", "_last")

    def __init__(self, base: Medium, capacity: int = CAPACITY) -> None:
        """ValueError for a cache without room."""
        if capacity < 1:
            raise ValueError(f"capacity {capacity}: a cache holds 1 sector or more")
        self.base, self.name, self.sectors, self.capacity = base, f"cache over {base.name}", base.sectors, capacity
        self._log: OrderedDict[int, tuple[int, bytes]] = OrderedDict()   # number of a write -> (LBA, 512 bytes), the oldest first
        self._numbers: dict[int, deque[int]] = {}   # LBA -> the numbers of its writes in the log
        self._last = 0

    @property
    def writable(self) -> bool:
        """Whether writes end in a file of the host."""
        return self.base.writable

    @property
    def paths(self) -> tuple[str, ...]:
        """The files of the disk under it."""
        return self.base.paths

    @property
    def unflushed(self) -> list[int]:
        """The LBAs of the sectors whose newest content may be lost, in order."""
        return sorted(self._numbers)

    def read(self, lba: int, count: int = 1) -> Sectors:
        """Return `count` sectors from `lba` as they were written last, as bytes; ValueError beyond the last sector."""
        data, numbers = self.base.read(lba, count), self._numbers
        if not numbers or numbers.keys().isdisjoint(range(lba, lba + count)):
            return data
        return b"".join(self._newest(lba + i) if lba + i in numbers else data[i * SECTOR:(i + 1) * SECTOR]
                        for i in range(count))

    def grow(self, sectors: int) -> None:
        """See `Medium`: the disk under the cache grows."""
        self.base.grow(sectors)
        self.sectors = sectors

    def write(self, lba: int, data: Buffer) -> None:
        """Keep `data`, a whole number of sectors, in the cache; ValueError beyond the last sector."""
        for i in range(self.check_write(lba, data)):
            self._keep(lba + i, bytes(data[i * SECTOR:(i + 1) * SECTOR]))

    def discard(self, lba: int, count: int) -> None:
        """Make sectors read as zeros; more than the cache has room for are zeros for good at once."""
        self.check_read(lba, count)
        if count > self.capacity:
            gone = range(lba, lba + count)
            self.base.discard(lba, count)
            self._forget([at for at in self._numbers if at in gone])
        else:
            for at in range(lba, lba + count):
                self._keep(at, ZEROS)

    def flush(self) -> None:
        """Make all that was written stable before it returns; if `base` fails, none of it counts as flushed."""
        self._store(self.unflushed)
        self.base.flush()
        self._log.clear()
        self._numbers.clear()

    def persist(self, lba: int, count: int) -> None:
        """Make these sectors stable before it returns; no others need be."""
        self.check_read(lba, count)
        here = [at for at in range(lba, lba + count) if at in self._numbers]
        self._store(here)
        self.base.persist(lba, count)
        self._forget(here)

    def possible(self, lba: int) -> tuple[Sectors, ...]:
        """Return all that sector `lba` may hold after a power cut now: what is stable, then what was written since, in order."""
        log = self._log
        return self.base.read(lba), *(log[number][1] for number in self._numbers.get(lba, ()))

    def power_cut(self, seed: int) -> Cut:
        """Lose any subset of the unflushed writes, chosen by the whole number `seed`; the disk is as after power-on.

        Returns a `Cut`.  TypeError for a seed that is no whole number: a cut can be repeated.
        """
        if not isinstance(seed, int):
            raise TypeError(f"seed {seed!r}: a whole number")
        dice, kept = Random(seed), 0
        sectors = self.unflushed
        for lba in sectors:
            found = dice.choice(self.possible(lba))
            kept += found == self._newest(lba)
            self.base.write(lba, found)
        self._log.clear()
        self._numbers.clear()
        return Cut(kept, len(sectors) - kept)

    def saved_sectors(self) -> State:
        """Return what waits in the cache, the oldest first, and what the base was given."""
        return CACHE.state(log=[[number, *entry] for number, entry in self._log.items()], last=self._last,
                           base=self.base.saved_sectors())

    def take_back(self, state: State) -> None:
        """Hold what `saved_sectors` gave."""
        saved = CACHE.take(state)
        self._log.clear()
        self._numbers.clear()
        for number, lba, sector in saved["log"]:
            self._log[number] = lba, sector
            self._numbers.setdefault(lba, deque()).append(number)
        self._last = saved["last"]
        self.base.take_back(saved["base"])

    def extents(self) -> Iterator[tuple[int, int]]:
        """Return what waits in the cache, and what the base has."""
        return merged(self.base.extents(), ((lba, lba + 1) for lba in self.unflushed))

    def close(self) -> None:
        """Flush, and let go of the base: switching off in order is no power cut."""
        self.flush()
        self.base.close()

    def _newest(self, lba: int) -> bytes:
        return self._log[self._numbers[lba][-1]][1]

    def _keep(self, lba: int, sector: bytes) -> None:
        """One sector more; the cache's oldest makes room."""
        if len(self._log) >= self.capacity:
            number, (oldest, data) = next(iter(self._log.items()))
            self.base.write(oldest, data)
            self._drop(number, oldest)
        self._last += 1
        self._log[self._last] = lba, sector
        self._numbers.setdefault(lba, deque()).append(self._last)

    def _drop(self, number: int, lba: int) -> None:
        """Let go of the oldest write of a sector."""
        del self._log[number]
        numbers = self._numbers[lba]
        numbers.popleft()
        if not numbers:
            del self._numbers[lba]

    def _forget(self, lbas: list[int]) -> None:
        for lba in lbas:
            for number in self._numbers.pop(lba):
                del self._log[number]

    def _store(self, lbas: list[int]) -> None:
        """Write the newest content of these sectors to the base, neighbours at once."""
        first = 0
        run: list[bytes] = []
        for lba in lbas:
            if run and lba != first + len(run):
                self.base.write(first, b"".join(run))
                run = []
            if not run:
                first = lba
            run.append(self._newest(lba))
        if run:
            self.base.write(first, b"".join(run))
