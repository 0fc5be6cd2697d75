"""What the lesson's panels show of a moment of a boot: the console's last lines, the exits so far."""

import re
from textwrap import wrap

from vmio.lab import charts
from vmio.table import number

WIDTH, LINES = 38, 11           # letters of a readout's line; lines of the console that it shows
TOP = 7                         # devices with a bar of their own
_STAMP = re.compile(r"^\[ *\d+\.\d+\] ")


def screen(text: str) -> list[str]:
    """The last lines of a console, as a narrow screen shows them; the kernel's time stamps are left out, for they would fill half of it."""
    lines = [part for line in text.splitlines()[-LINES:] for part in wrap(_STAMP.sub("", line), WIDTH, subsequent_indent="  ") or [""]]
    return [*[""] * (LINES - len(lines)), *lines[-LINES:]]


def readout(ns: int, console: str, reasons: dict[str, int]) -> str:
    """The screen, the virtual time, and the exits so far by reason."""
    rows = [f"{reason.lower().replace('_', ' '):<20}{number(count):>8}" for reason, count in reasons.items()]
    return "\n".join([*screen(console), "-" * WIDTH, f"virtual time {ns / 1e6:,.1f} ms", f"exits {sum(reasons.values()):,}", *rows])


def devices_chart(devices: dict[str, int]) -> charts.Chart | None:
    """Bars of the exits so far by who answered, the most frequent by name; None where there are none."""
    ordered = sorted(devices.items(), key=lambda one: (-one[1], one[0]))
    shown = dict(ordered[:TOP])
    if ordered[TOP:]:
        shown["others"] = sum(count for _, count in ordered[TOP:])
    return charts.bars("Exits so far, by who answers", shown, "exits", log=True) if shown else None
