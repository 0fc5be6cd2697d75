"""The panel of *Boot a real Linux*: a recorded boot, moment by moment; and, by import, all else that the lesson's cells call."""

from vmio.lab import axes, charts
from vmio.lab.controls import choice, slider
from vmio.lab.panel import Panel
from vmio.lessons.boot_a_real_linux import recorded
from vmio.lessons.boot_a_real_linux.detect import detected
from vmio.lessons.boot_a_real_linux.follow import FRAMES, Frame
from vmio.lessons.boot_a_real_linux.plans import CONSOLE, DISKS, POLLS
from vmio.lessons.boot_a_real_linux.power import power_on
from vmio.lessons.boot_a_real_linux.screen import devices_chart, readout, screen
from vmio.lessons.boot_a_real_linux.tables import (boot_exits, boot_line, callers_table, functions_table, interrupts_table, phases_table,
                                                   programs_exits, read_exits, reading_table, reads_table, reasons_table, switches_table, where)

__all__ = ["boot_exits", "boot_line", "callers_table", "detected", "functions_table", "interrupts_table", "panel", "phases_table", "power_on",
           "programs_exits", "read_exits", "reading_table", "reads_table", "reasons_table", "screen", "switches_table", "where"]

BOOTS = {"with messages": CONSOLE, "quiet": DISKS, "PC of 1996": POLLS}


def _model(boot: str, step: int) -> tuple[recorded.Seen, Frame]:
    seen = recorded.of(BOOTS[boot])
    return seen, seen.frames[step]


def _view(result: tuple[recorded.Seen, Frame]) -> tuple[str, list[charts.Chart | None]]:
    seen, frame = result
    milliseconds = [one.ns / 1e6 for one in seen.frames]
    series = {"all": (milliseconds, [sum(one.reasons.values()) for one in seen.frames]),
              "the console's": (milliseconds, [one.devices.get("uart", 0) for one in seen.frames])}
    x, y = axes.linear("virtual time in ms", (), top=milliseconds[-1]), axes.linear("exits so far", series["all"][1])
    return readout(frame.ns, seen.console_at(frame.characters), frame.reasons), [
        charts.lines("Exits so far", series, x, y, at=frame.ns / 1e6), devices_chart(frame.devices)]


def panel() -> Panel:
    """Any moment of a recorded boot: the console, the exits by reason and by who answered."""
    return Panel(_model, [choice("boot", BOOTS, label="Boot"), slider("step", 0, FRAMES, 1, FRAMES // 2, label="Moment (0 to 120)")],
                 _view, name="boot_a_real_linux")
