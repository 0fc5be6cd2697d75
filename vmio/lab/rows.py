"""All that a panel shows as rows of one table, so that a spreadsheet or a script can go on with it.

    shown in                     series   name                     x     x unit                 value   unit
    setting                               Bytes per read                                        4096    bytes
    drawing                      exit     guest to hypervisor                                   33424   exits
    Exits by reason                       IO_INSTRUCTION                                        33408   exits
    Time of all guests           guest    time                                                  120.4   us
    Bytes in the rings           to host                           1.25  virtual time in us     48      bytes used
    readout                               exits 33,424, 2,089.00 a read

Values are those that are drawn, not rounded; one row a number, so columns keep their meaning whatever the figure.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

from vmio.lab.charts import Chart
from vmio.lab.controls import Control

Cell = str | int | float
HEAD = ("shown in", "series", "name", "x", "x unit", "value", "unit")


class Row(NamedTuple):
    """One number with all that says what it is; "" where there is nothing to say."""

    shown_in: str
    series: str = ""
    name: str = ""
    x: Cell = ""
    x_unit: str = ""
    value: Cell = ""
    unit: str = ""


@runtime_checkable
class Tabled(Protocol):
    """A drawing that can say its numbers."""

    def rows(self) -> Iterable[Row]:
        """Return a row for each number that is drawn."""


def of_controls(controls: Iterable[Control], values: dict[str, Any]) -> Iterator[Row]:
    """Yield what each control is set to."""
    for control in controls:
        value = values[control.name]
        yield Row("setting", name=control.label, value=str(value) if isinstance(value, bool) else value, unit=control.unit)


def of_chart(chart: Any) -> Iterator[Row]:
    """Yield each number of a chart: bars, parts of bars, points of lines with their ticks and limits, dots."""
    title = chart["title"]
    if chart["kind"] == "bars":
        yield from (Row(title, name=bar["name"], value=bar["value"], unit=chart["unit"]) for bar in chart["bars"])
    elif chart["kind"] == "stack":
        for row in chart["rows"]:
            yield from (Row(title, part["name"], row["name"], value=value, unit=chart["axis"]["label"])
                        for part, value in zip(chart["parts"], row["values"]))
    elif chart["kind"] == "dots":
        for group in chart["groups"]:
            yield from (Row(title, group["name"], chart["names"][row], value=value, unit=chart["axis"]["label"])
                        for value, row in group["points"])
    else:
        yield from _of_lines(title, chart, chart["x"]["label"], chart["y"]["label"])


def _of_lines(title: str, chart: Any, x_unit: str, unit: str) -> Iterator[Row]:
    for one in chart["series"]:
        yield from (Row(title, one["name"], x=x, x_unit=x_unit, value=y, unit=unit) for x, y in zip(one["x"], one["y"]))
        yield from (Row(title, one["name"], "signal", x=x, x_unit=x_unit) for x in one["ticks"])
    yield from (Row(title, name=limit["text"], value=limit["y"], unit=unit) for limit in chart["limits"])


def of_panel(controls: Iterable[Control], values: dict[str, Any], live: object, charts: Iterable[Chart | None], text: str) -> list[Row]:
    """Return the rows of a whole panel: its settings, its drawing, its charts, the lines of its readout."""
    found = list(of_controls(controls, values))
    if isinstance(live, Tabled):
        found += live.rows()
    for chart in charts:
        found += of_chart(chart) if chart is not None else ()
    return found + [Row("readout", name=line.rstrip()) for line in text.splitlines() if line.strip()]


def to_csv(rows: Iterable[Row]) -> str:
    """Return rows as CSV (RFC 4180, lines ended by LF) with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    writer.writerows(rows)
    return text.getvalue()
