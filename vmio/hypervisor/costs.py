"""What things cost: the one place in the package that holds a nanosecond.

The price of an exit is a ladder of four terms (fitted on E01, tested on E02 and
E17 by tests/unit/experiments/test_papers.py):

    hypercall   into the hypervisor and back, nothing done
  + lookup      find who answers at this port or address
  + emulate     fetch and decode the instruction (reads, string I/O, MMIO)
  + user_space  on to the host's device-model process and back

Each term comes from a row of data/published.csv, named by its id there.  Under
KVM the same four rungs can be measured (vmio/processors/kvm/measure.py): data/kvm-recorded.json
keeps one host's, and `CostModel.measured` makes prices of any host's.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import accumulate
from typing import Any

from vmio import data
from vmio.machine.contracts import Json

_ASSUMED_GHZ = 3.0  # for rows in cycles whose source does not name the processor


@cache
def published() -> dict[str, dict[str, str]]:
    """Return the rows of data/published.csv: {id: {"quantity", "value", "unit", "source", ...}}."""
    with data.path("published.csv").open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def _value(row_id: str) -> float:
    """A published figure, time in ns and rates in bytes a second."""
    row = published()[row_id]
    scale = {"ns": 1, "us": 1000, "cycles": 1 / _ASSUMED_GHZ, "MB/s": 1e6, "MiB/s": 1 << 20, "GiB/s": 1 << 30, "GB/s": 1e9, "IOPS": 1,
             "MIOPS": 1e6, "pps": 1}
    return float(row["value"]) * scale[row["unit"]]


def _source(unit: str, *rows: str) -> Any:
    return field(metadata={"unit": unit, "source": ", ".join(rows)})


@dataclass(frozen=True)
class CostModel:
    """Prices in virtual time.  Build with `CostModel.preset(name)`; vary with `.with_(field=value)`."""

    name: str
    hypercall_ns: int = _source("ns", "{0}")
    lookup_ns: int = _source("ns", "{1} - {0}")
    emulate_ns: int = _source("ns", "{2} - {1}")
    user_space_ns: int = _source("ns", "{3} - {2}")
    wakeup_ns: int = _source("ns", "N07.1a, N07.1b: time per I/O, 4 jobs, interrupt less polling")
    worker_wakeup_ns: int = _source("ns", "N08.1a - N08.1b: a worker that waits for the kick, less one that polls")
    host_interrupt_ns: int = _source("ns", "E22.1 - E02.2a: the host's timer handler at the end of a slice or at a tick, beside the exit")
    first_touch_ns: int = _source("ns", "L03.1: an EPT violation for RAM, and the host's page found, cleared, mapped")
    slice_ns: int = _source("ns", "S01.1: as long as one may hold a core while others wait")
    poll_ns: int = _source("ns", "S03.1: a look at a queue by who polls it, and the PAUSE before the next")
    guest_request_ns: int = _source("ns", "D02.4: the guest's own system call for each request")
    host_request_ns: int = _source("ns", "D02.4: the host worker's system call for each request")
    copy_rate: int = _source("bytes/s", "D02.1")
    xts_rate: int = _source("bytes/s", "C09.1: AES-256-XTS on one core, with the processor's own instructions")
    gcm_rate: int = _source("bytes/s", "C09.5: AES-256-GCM on one core; a desktop's, where C09.1 is a server's")
    disk_read_ns: int = _source("ns", "D01.1: 4 KiB")
    disk_write_ns: int = _source("ns", "D01.2: 4 KiB; also a flush")
    disk_read_rate: int = _source("bytes/s", "D01.5: beyond the first 4 KiB")
    disk_write_rate: int = _source("bytes/s", "D01.6: beyond the first 4 KiB")

    dma_map_ns: int = _source("ns", "M02.1 to M02.4: mapping and unmapping one DMA buffer, without the invalidation")
    dma_invalidate_ns: int = _source("ns", "M02.1 - M02.2: time per packet, strict less lazy")

    @classmethod
    def preset(cls, name: "str | CostModel" = "server-2022") -> "CostModel":
        """Return the prices of a processor generation (a `CostModel` is its own); ValueError names the presets there are."""
        if isinstance(name, cls):
            return name
        if name not in PRESETS:
            raise ValueError(f"cost preset {name!r}: choose one of {', '.join(PRESETS)}")
        return _offered.get(name) or _preset(name)

    @classmethod
    def measured(cls, rows: Mapping[str, int] | None = None, name: str = "kvm-recorded") -> "CostModel":
        """Return prices from exits measured on real hardware: `rows` are {access: ns}, those named in MEASURED.

        Without rows: the smallest times of data/kvm-recorded.json.  They hold all that an exit
        took there, the host's Python loop included.  What is no exit is the default preset's.
        """
        if rows is None:
            rows = {row["name"]: row["low"] for row in recorded()["exits"]}
        missing = [access for access in MEASURED if access not in rows]
        if missing:
            raise ValueError(f"measured costs: no {', '.join(missing)} among {', '.join(rows)}")
        return replace(cls.preset(), name=name, **_ladder([rows[access] for access in MEASURED]))

    def offer(self, where: str) -> None:
        """Put a measured model beside the presets, under its name; panels built from now on list it.

        `where` it was measured, for `table_rows`.  ValueError for a name that stands for other prices.
        """
        if self.name in PRESETS and _offered.get(self.name) != self:
            raise ValueError(f"cost preset {self.name!r} stands for other prices already")
        _offered[self.name] = self
        PRESETS[self.name] = (MEASURED, f"{where}")

    def with_(self, **changes: int) -> "CostModel":
        """Return a copy with some prices changed; ValueError for a negative one or an unknown name."""
        for key, value in changes.items():
            if key not in self.__dataclass_fields__ or key == "name":
                raise ValueError(f"cost {key!r}: choose from {', '.join(list(self.__dataclass_fields__)[1:])}")
            if value < 0:
                raise ValueError(f"cost {key} = {value}: must not be negative")
        return replace(self, **changes)  # type: ignore[arg-type]  # no one is `name`

    def access_ns(self, handler: str, decode: bool) -> int:
        """Return an exit for a register access: answered by `handler`; `decode` if it takes the instruction emulator."""
        return (self.hypercall_ns + self.lookup_ns + (self.emulate_ns if decode else 0)
                + (self.user_space_ns if handler == "worker" else 0))

    def copy_ns(self, length: int) -> int:
        """Return how long it takes to move `length` bytes in memory, in ns."""
        return length * 1_000_000_000 // self.copy_rate

    def disk_ns(self, op: str, sectors: int) -> int:
        """Return the physical disk's time for a `read`, `write` or `flush` of 512-byte sectors, in ns."""
        if op == "read":
            return self.disk_read_ns + max(0, sectors - 8) * 512_000_000_000 // self.disk_read_rate
        return self.disk_write_ns + max(0, sectors - 8) * 512_000_000_000 // self.disk_write_rate

    def table_rows(self) -> list[tuple[str, int, str, str]]:
        """Return [(field, value, unit, source), ...] for a lesson to show; the sources are those of the preset."""
        rows, scaled_to = PRESETS[self.name]
        if rows is MEASURED:
            how = f", measured on {scaled_to}"
        else:
            how = (f", scaled so that a null hypercall is {scaled_to}" if scaled_to
                   else f", at {_ASSUMED_GHZ:g} GHz (assumed)")
        return [(name, getattr(self, name), f.metadata["unit"],
                 f.metadata["source"].format(*rows) + (how if "{" in f.metadata["source"] else ""))
                for name, f in self.__dataclass_fields__.items() if name != "name"]


# The rungs as KVM shows them to user mode: a null exit, answered in the kernel, the same decoded, answered in user space.
MEASURED = ("CPUID", "doorbell (ioeventfd), port", "doorbell (ioeventfd), memory", "MMIO write")
_2012 = ("E01.1", "E01.2", "E01.3", "E01.4")

# Ladder rows: null hypercall, OUT in the kernel, IN in the kernel, IN in user space; and the row that sets the scale
# (for measured ones: the host).
PRESETS = {
    "kvm-2012": (_2012, None),
    "kvm-2017": (("E02.2a", "E02.8a", "E02.7a", "E02.6a"), None),
    "nested-2019": (("E15.2", "E15.6", "E15.5", "E15.4"), None),
    "server-2022": (_2012, "E17.1"),
    "server-2024": (_2012, "C02.1"),
    "kvm-recorded": (MEASURED, "the host of data/kvm-recorded.json"),
}
_offered: dict[str, "CostModel"] = {}                                     # name -> CostModel, see `offer`


@cache
def recorded() -> Json:
    """Return data/kvm-recorded.json: `host`, `exits` (rows of vmio.processors.kvm.measure), and what else was recorded there."""
    return json.loads(data.path("kvm-recorded.json").read_text(encoding="utf-8"))


def _ladder(rungs: Sequence[float], scale: float = 1) -> dict[str, int]:
    """The four terms.  Times scatter: a rung that came out below the one before is level with it."""
    rungs = [0, *accumulate(rungs, max)]
    return {name: round((upper - lower) * scale) for name, lower, upper in zip(
        ("hypercall_ns", "lookup_ns", "emulate_ns", "user_space_ns"), rungs, rungs[1:])}


@cache
def _preset(name: str) -> CostModel:
    rows, scaled_to = PRESETS[name]
    if rows is MEASURED:
        return CostModel.measured()
    ladder = [_value(row) for row in rows]
    return CostModel(
        name,
        **_ladder(ladder, _value(scaled_to) / ladder[0] if scaled_to else 1),
        wakeup_ns=round(4e9 / _value("N07.1a") - 4e9 / _value("N07.1b")),
        worker_wakeup_ns=round(_value("N08.1a") - _value("N08.1b")),
        host_interrupt_ns=round(_value("E22.1") - _value("E02.2a")),
        first_touch_ns=round(_value("L03.1")),
        slice_ns=round(_value("S01.1")),
        poll_ns=round(_value("S03.1")),
        guest_request_ns=round(_value("D02.4")),
        host_request_ns=round(_value("D02.4")),
        copy_rate=round(_value("D02.1")),
        xts_rate=round(_value("C09.1")),
        gcm_rate=round(_value("C09.5")),
        disk_read_ns=round(_value("D01.1")),
        disk_write_ns=round(_value("D01.2")),
        disk_read_rate=round(_value("D01.5")),
        disk_write_rate=round(_value("D01.6")),
        dma_map_ns=round(_dma_map_ns()),
        dma_invalidate_ns=round(1e9 / _value("M02.1") - 1e9 / _value("M02.2")),
    )


def _dma_map_ns() -> float:
    """Four rows, four unknowns: t = t0 + (map + invalidate) / k; invalidate is 0 if lazy, k is 1 unless maps are merged."""
    strict, lazy, strict_merged, lazy_merged = (1e9 / _value(f"M02.{n}") for n in (1, 2, 3, 4))
    k = (strict - lazy) / (strict_merged - lazy_merged)   # buffers that share a map
    return (lazy - lazy_merged) / (1 - 1 / k)
