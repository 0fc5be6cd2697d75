"""How many images must a call have? Each way to the matrix engine over the size of a call, beside the host's own driver.

Each call of a guest's costs the same few exits, an interrupt and a wake-up, whatever is in it; the engine's work grows with the
images.  So one number decides, how much is asked for at once: with many images nearly nothing is lost, as published for graphics
processors that were passed through (KVM 98 to 100 percent of bare metal: J. P. Walters et al., "GPU Passthrough Performance", IEEE
CLOUD 2014); with few most is, as for games (from 85 to fewer than 51 pictures a second: R. Shea and J. Liu, "On GPU Pass-Through
Performance for Cloud Gaming", NetGames 2013).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from vmio.experiments import accelerator, digits
from vmio.experiments.accelerator_params import DIGITS, AcceleratorParams
from vmio.hypervisor.costs import CostModel
from vmio.table import table

BATCHES = tuple(1 << n for n in range(0, 15, 2))          # 1 to 16,384
WAYS = {"registers": AcceleratorParams("emulated", access="registers"), "emulated": AcceleratorParams("emulated"), "split": AcceleratorParams("split"),
        "passthrough": AcceleratorParams("passthrough")}
MOST_BY_REGISTERS = 1024       # images of a call: each of them is 26 exits


@dataclass(frozen=True)
class Point:
    """One call of `batch` images by one `way`: percent of bare metal, exits and us of virtual time for each image."""

    way: str
    batch: int
    of_bare: float
    exits_per_image: float
    us_per_image: float


def sweep(ways: Sequence[str] = tuple(WAYS), batches: Sequence[int] = BATCHES, hidden: int = DIGITS,
          costs: str | CostModel = "server-2022") -> Iterator[Point]:
    """Yield a `Point` for each way and size of a call.  It is the same image again and again: time does not depend on what it shows."""
    image = digits.load().images[:digits.PIXELS]
    for way in ways:
        for batch in batches:
            if way == "registers" and batch > MOST_BY_REGISTERS:
                continue
            result = accelerator.run(replace(WAYS[way], batch=batch, count=batch, hidden=hidden, costs=costs), images=image)
            yield Point(way, batch, result.of_bare, result.exits_per_image, max(result.each_ns) / batch / 1000)


def break_even(points: Sequence[Point], way: str, percent: float) -> int | None:
    """Return the smallest call of this way that reaches so many percent of bare metal; None if none does."""
    return min((each.batch for each in points if each.way == way and each.of_bare >= percent), default=None)


def to_table(points: Sequence[Point]) -> str:
    """Return the points as fixed-width text, a row for each."""
    rows = [(each.way, each.batch, round(each.of_bare, 1), 1000 * each.exits_per_image, each.us_per_image) for each in points]
    return table(rows, ("way", "images a call", "% of bare metal", "exits per 1,000 images", "us per image"))
