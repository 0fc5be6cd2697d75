"""Fifteen migrations of a real QEMU, and what the model says of them.

QEMU 7.2 moved a guest of 128 MiB under TCG, whose boot sector increments a word in each of so many pages, in a circle, with
a loop of `spin` turns between two pages (data/README.md).  How many pages a second that is was seen where QEMU counted it, and
follows for other spins by proportion.  Near its limit QEMU's end is a matter of luck: its bandwidth is measured in slices of 100 ms
behind a bursty limiter.  So a row is clear if the model says the same for every rate from 3/4 to 5/4 of that; the others are shown, and nothing
is claimed of them.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vmio import data
from vmio.manage.migration.cyclic import SETTLED, Guest, predict
from vmio.manage.migration.rules import Qemu

FILE = "qemu-migrations.jsonl"
MEMORY = 128 << 8             # pages of the guest
FIRST = 16 << 8               # the first that it writes
COUNTED_SPIN = 20_000         # at which QEMU's counts of dirty pages are those of the loop: no round sees a page twice
SPREAD = (3, 4, 5)            # quarters of the rate
PATIENCE_MS = 12_000          # the recorder cancelled then
TOLERANCE = 0.15              # of a plateau


@dataclass(frozen=True)
class Recorded:
    """A migration as QEMU reported it; `remaining` are KiB when its dirty log was read, from the third time on."""

    pages: int
    spin: int
    bandwidth: int
    limit_ms: int
    throttled: bool
    postcopy_s: float | None
    moved: bool
    rounds: int | None
    total_ms: int | None
    downtime_ms: int | None
    remaining: tuple[int, ...]
    rates: tuple[int, ...]


@dataclass(frozen=True)
class Held:
    """A recorded migration beside the model: `says` is whether the guest is moved, `plateau` the KiB that remain for ever if it is not."""

    recorded: Recorded
    clear: bool
    says: bool
    rounds: int
    plateau: int | None
    seen: int | None

    @property
    def met(self) -> bool:
        """Whether model and recording say the same, within the tolerance."""
        if self.says != self.recorded.moved:
            return False
        return self.says or self.plateau is None or self.seen is None or abs(self.plateau - self.seen) <= TOLERANCE * self.seen


@lru_cache(maxsize=1)
def rows() -> tuple[Recorded, ...]:
    """Return all that were recorded."""
    return tuple(map(_row, data.path(FILE).read_text(encoding="utf-8").splitlines()))


def _row(line: str) -> Recorded:
    told: dict[str, Any] = json.loads(line)
    synced = [each for each in told["hist"] if each[1] is not None and each[1] >= SETTLED]
    return Recorded(
        told["pages"], told["spin"], round(told["bw_MBps"] * 1_000_000), told["limit_ms"], told["conv"], told["post"], told["status"] == "completed",
        told["rounds"], told["total_ms"], told["downtime_ms"], tuple(each[3] for each in synced),
        tuple(sorted({each[4] for each in told["hist"] if each[4]})))


def rate_of(spin: int) -> int:
    """Return how many pages a second the guest writes with this spin."""
    seen = sorted(rate for row in rows() if row.spin == COUNTED_SPIN for rate in row.rates)
    return seen[len(seen) // 2] * COUNTED_SPIN // spin


def held(row: Recorded) -> Held:
    """Return the model beside one row; in post-copy a guest is moved whatever it does."""
    each = [predict(Guest(MEMORY, row.pages, rate_of(row.spin) * quarters // 4, FIRST), row.bandwidth, Qemu(row.limit_ms), _patience(row), row.throttled)
            for quarters in SPREAD]
    middle = each[1]
    seen = sorted(row.remaining)[len(row.remaining) // 2] if row.remaining and not row.moved else None
    late = row.postcopy_s is not None
    plateau = middle.plateau * 4 if not middle.moved and middle.plateau is not None else None
    return Held(row, late or len({one.moved for one in each}) == 1, late or middle.moved, len(middle.rounds), plateau, seen)


def _patience(row: Recorded) -> int:
    """As many rounds as fit into the time after which the recorder gave up, at a round of all that is written, and a few of short ones."""
    return max(12, PATIENCE_MS * row.bandwidth // (1000 * 4096 * row.pages))
