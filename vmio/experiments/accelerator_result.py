"""What a run of images on a matrix engine counted: what they are, exits, and time, beside the host's own driver."""

import csv
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from vmio.experiments.accelerator_params import AcceleratorParams
from vmio.hypervisor.vcpu import VCpu
from vmio.table import table

SCHEMA = "vmio.accelerator/1"     # the number goes up when a name's meaning changes


@dataclass(frozen=True)
class Part:
    """What one part of a guest's run cost: exits by instruction and by device, interrupts, ns of virtual time and of it in exits."""

    exits_by_instruction: dict[str, int]
    exits_by_device: dict[str, int]
    interrupts: int
    ns: int
    exit_ns: int

    @property
    def exits(self) -> int:
        """Return all of its exits."""
        return sum(self.exits_by_instruction.values())


class Since:
    """What a vCPU counts from now on."""

    def __init__(self, cpu: VCpu) -> None:
        self.cpu, self.started, self.exits = cpu, cpu.now, cpu.exits.total
        self._interrupts = cpu.interrupts
        self._rows = {id(row): (row.count, row.total_ns) for row in cpu.exits.rows}

    def _by(self, key: Callable[[Any], str]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for row in self.cpu.exits.rows:
            count = row.count - self._rows.get(id(row), (0, 0))[0]
            if count:
                counts[key(row)] = counts.get(key(row), 0) + count
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def part(self) -> Part:
        """Return what there was until now."""
        return Part(self._by(lambda row: row.instruction), self._by(lambda row: row.device), self.cpu.interrupts - self._interrupts,
                    self.cpu.now - self.started,
                    sum(row.total_ns - self._rows.get(id(row), (0, 0))[1] for row in self.cpu.exits.rows))


@dataclass(frozen=True)
class AcceleratorResult:
    """`load` is the network's way onto the chip, `calls` of the first guest all its calls, `each_ns` what the calls took every guest.

    `predictions` and `sums` are the first guest's, all guests' are alike; `right` of `images` are what they should be (None: no
    labels).  `device_ns` is how long the engine worked for all; `bare_ns` what the host's own driver takes for one guest's calls,
    whose waiting costs nothing; `signals` are the first guest's to its host, and `switches` how often another's turn came.
    """

    params: AcceleratorParams
    images: int
    number_of_calls: int
    right: int | None
    predictions_sha256: str
    sums_sha256: str
    setup_exits: int
    load: Part
    calls: Part
    each_ns: list[int]
    device_ns: int
    bare_ns: int
    signals: int
    switches: int

    @property
    def of_bare(self) -> float:
        """Return how fast the calls were, of what the host's own driver makes, in percent; of the slowest guest."""
        return 100 * self.bare_ns / max(self.each_ns)

    @property
    def exits_per_image(self) -> float:
        """Return exits of the calls for each image."""
        return self.calls.exits / self.images

    def rows(self) -> list[tuple[str, float | int | None]]:
        """Return the counts as (name, value), the same that `to_dict` has, in one row each."""
        return [("images", self.images), ("calls", self.number_of_calls), ("right", self.right), ("exits, set-up", self.setup_exits),
                ("exits, load", self.load.exits), ("exits, calls", self.calls.exits), ("exits per image", round(self.exits_per_image, 4)),
                ("interrupts", self.calls.interrupts), ("signals", self.signals), ("switches of guests", self.switches),
                ("us, load", self.load.ns / 1000), ("us, calls", self.calls.ns / 1000), ("us of it in exits", self.calls.exit_ns / 1000),
                ("us, slowest guest", max(self.each_ns) / 1000), ("us, engine at work", self.device_ns / 1000),
                ("us, host's own driver", self.bare_ns / 1000), ("percent of bare metal", round(self.of_bare, 2))]

    def table(self) -> str:
        """Return the same as fixed-width text."""
        title = (f"{self.params.mode} matrix engine: {self.images:,} images in {self.number_of_calls:,} calls, "
                 f"sums {self.sums_sha256[:16]}, predictions {self.predictions_sha256[:16]}")
        exits = [(name, self.load.exits_by_instruction.get(name, 0), count) for name, count in self.calls.exits_by_instruction.items()]
        exits += [(name, count, 0) for name, count in self.load.exits_by_instruction.items() if name not in self.calls.exits_by_instruction]
        return "\n\n".join([table(self.rows(), ("", "count"), title=title), table(exits, ("exits by", "load", "calls"))])

    def to_csv(self) -> str:
        """Return the same as CSV: name, value."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("name", "value"))
        writer.writerows([*self.rows(), ("sums sha256", self.sums_sha256), ("predictions sha256", self.predictions_sha256)])
        return out.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        plain = asdict(self)
        for name, part in (("load", self.load), ("calls", self.calls)):
            plain[name]["exits"] = part.exits
        return {"schema": SCHEMA, **plain, "of_bare": self.of_bare, "exits_per_image": self.exits_per_image}
