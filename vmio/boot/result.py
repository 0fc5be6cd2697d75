"""What a boot has counted: plain data, as text, as JSON."""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from vmio.hypervisor.exits import ExitCounts, Intercept
from vmio.processors.unicorn.vcpu import HALTED, TRIPLE_FAULT, End
from vmio.table import table

SCHEMA = "vmio.boot/1"
UNTIL, POWER_OFF, RESET, USER = "until", "power off", "reset", "ended by its user"
SAID_GOODBYE = "reboot: "        # Linux, before it halts or resets the machine (kernel/reboot.c), by a triple fault, too
_INTERRUPT = re.compile(r"^ *(\w+): +(\d+)(?: +(.*\S))? *$")
_HEAD = re.compile(r"^ +CPU0 *$")


class Row(NamedTuple):
    """A kind of exit, and how many of it: `moved` are units of a string instruction."""

    reason: str
    instruction: str
    address: int
    size: int
    device: str
    count: int           # type: ignore[assignment]  # it hides tuple.count
    moved: int

    @property
    def key(self) -> tuple:
        """What it is, without how often."""
        return self[:5]


def counted(exits: ExitCounts) -> list[Row]:
    """Return the rows of a vCPU as plain data."""
    def plain(row: Intercept) -> Row:
        return Row(row.reason.value, row.instruction, row.address, row.size, row.device, row.count, row.moved)
    return [plain(row) for row in exits.rows]


@dataclass(frozen=True)
class Phase:
    """From one mark on the console to the next: its `name`, when it began in ns, how long it took, and its exits."""

    name: str
    began: int
    ns: int
    rows: list[Row]

    def exits(self, without: tuple[str, ...] = ()) -> int:
        """Return how many there were, of all devices but these."""
        return sum(row.count for row in self.rows if row.device not in without)

    def by(self, field: str, without: tuple[str, ...] = ()) -> dict[str, int]:
        """Return {value of a field of `Row`: exits}, most first, of all devices but these."""
        return _by(self.rows, field, without)


def interrupts_in(text: str) -> dict[str, tuple[int, str]]:
    """Return /proc/interrupts as `text` shows it last: {name: (count, what it is)}; {} if it doesn't."""
    found: dict[str, tuple[int, str]] = {}
    inside = False
    for line in text.splitlines():
        if _HEAD.match(line):
            inside, found = True, {}
            continue
        matched = _INTERRUPT.match(line) if inside else None
        inside = matched is not None
        if matched:
            found[matched[1]] = int(matched[2]), matched[3] or ""
    return found


def difference(later: list[Row], earlier: list[Row]) -> list[Row]:
    """Return what has come between two times, without rows that stayed."""
    before = {row.key: row for row in earlier}
    found = []
    for row in later:
        old = before.get(row.key)
        count, moved = row.count - (old.count if old else 0), row.moved - (old.moved if old else 0)
        if count:
            found.append(row._replace(count=count, moved=moved))
    return found


@dataclass(frozen=True)
class BootResult:
    """`end` says why it is over, `until` what was waited for; `phases` are the whole run, cut at the marks, the first called "power-on"."""

    end: End
    until: str
    console: bytes
    console_text: str
    last_lines: list[str]
    virtual_ns: int
    rows: list[Row]
    phases: list[Phase]
    vectors: dict[int, int]          # exceptions and interrupts that were delivered
    command_line: str
    kernel: str

    @property
    def good(self) -> bool:
        """Whether the guest ended as it was asked to: it has shown what was waited for, or else it has switched itself off."""
        if self.until:
            return self.end.reason in (UNTIL, USER)
        return self.end.reason in (POWER_OFF, RESET, USER) or (
            self.end.reason in (HALTED, TRIPLE_FAULT) and bool(self.last_lines) and SAID_GOODBYE in self.last_lines[-1])

    @property
    def exits(self) -> int:
        """All of them."""
        return sum(row.count for row in self.rows)

    def by(self, field: str, without: tuple[str, ...] = ()) -> dict[str, int]:
        """Return {value of a field of `Row`: exits}, most first, of all devices but these."""
        return _by(self.rows, field, without)

    def phase(self, name: str) -> Phase:
        """Return the first phase of this name; KeyError lists those that there are."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise KeyError(f"phase {name!r}: choose one of {', '.join(phase.name for phase in self.phases)}")

    def interrupts(self) -> dict[str, tuple[int, str]]:
        """Return /proc/interrupts as the console showed it last: {name: (count, what it is)}; {} if it didn't."""
        return interrupts_in(self.console_text)

    def sentence(self) -> str:
        """Say why it ended, and what the console showed last, if it was not asked to end."""
        if self.good:
            return f"{self.end.reason}: {self.end.text}"
        return f"{self.end.reason}: {self.end.text}; {last(self.last_lines)}"

    def table(self) -> str:
        """Return the counts as text."""
        parts = [table([(name, count) for name, count in self.by(field).items()], (words, "exits"))
                 for field, words in (("reason", "exit reason"), ("device", "answered by"))]
        if len(self.phases) > 1:
            parts.append(table([(phase.name, phase.began / 1e6, phase.exits(), phase.exits(("uart",))) for phase in self.phases],
                               ("phase", "from, ms", "exits", "without UART")))
        return "\n\n".join([f"{self.exits:,} exits in {self.virtual_ns / 1e6:,.3f} ms of virtual time", *parts])

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"schema": SCHEMA, "ended": self.end.reason, "why": self.end.text, "exits_total": self.exits, "exits": self.by("reason"),
                "exits_by_device": self.by("device"), "exits_by_instruction": self.by("instruction"), "virtual_ns": self.virtual_ns,
                "console_sha256": hashlib.sha256(self.console).hexdigest(), "console_bytes": len(self.console),
                "last_lines": self.last_lines, "kernel": self.kernel, "command_line": self.command_line,
                "interrupts": {f"{vector:#x}": count for vector, count in sorted(self.vectors.items())},
                "phases": [{"name": phase.name, "began_ns": phase.began, "ns": phase.ns, "exits_total": phase.exits(),
                            "exits_by_device": phase.by("device")} for phase in self.phases]}


def last(lines: list[str]) -> str:
    """Return the console's last lines as the end of a sentence."""
    shown = "\n".join(f"    {line}" for line in lines) or "    nothing: is console=ttyS0 on the command line, and a driver for it in the kernel?"
    return f"the console's last lines:\n{shown}"


def _by(rows: list[Row], field: str, without: tuple[str, ...]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for row in rows:
        if row.device not in without:
            counts[getattr(row, field)] += row.count
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
