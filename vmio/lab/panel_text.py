"""A panel in text, for whoever sees no widgets: a web view, a print, and nbval, which compares it with what is stored.

It holds what the page shows: each control's words, range and value, the readout, every arrow, each chart's axes and
numbers.  Where a run is judged (VMIO_STRICT=1: tests and the build) each control is also moved to its ends, as a mouse
would, and the text says how many lines of the readout and the charts then differ: a dead control stands there with a 0.
"""

import io
import os
from collections.abc import Iterator
from typing import Any, Protocol

from vmio.lab import charts
from vmio.table import number

PICTURES = "VMIO_PICTURES"      # set by the build alone: stored notebooks hold a picture of each panel


class Shown(Protocol):
    """What is described of a panel."""

    name: str
    so_far: tuple[str, list[charts.Chart | None]]
    charts: list[charts.Chart | None]
    controls: dict[str, Any]
    widgets: dict[str, Any]
    live: Any

    def finish(self) -> None:
        """Show the last of what is still being counted."""


def describe(panel: Shown, moved: bool | None = None) -> str:
    """Return a panel as text; with `moved` (as VMIO_STRICT says unless given) all is counted, and what each control changes."""
    strict = os.environ.get("VMIO_STRICT") == "1" if moved is None else moved
    if strict:
        panel.finish()              # else it is shown at once: a sweep grows while the kernel is idle
    parts = [f"Panel {panel.name}", *_controls(panel), "", panel.so_far[0].rstrip(), *_figures(panel)]
    return "\n".join([*parts, *(["", *_effects(panel)] if strict else [])])


def _controls(panel: Shown) -> Iterator[str]:
    """A line for each control: its words and value as the widget has them, and what it allows."""
    for name, control in panel.controls.items():
        widget = panel.widgets[name]
        value = number(widget.value) if not isinstance(widget.value, str) else widget.value
        yield f"  [{widget.description}] {value}; allowed: {control.allowed()}; {widget.tooltip}"


def _figures(panel: Shown) -> Iterator[str]:
    """What is drawn: the arrows, the lines of the drawing, then the charts."""
    if panel.live is not None:
        yield f"\nDrawing: {panel.live.text}"
        for one in getattr(panel.live, "edges", ()):
            yield f"  {one['source']} -> {one['target']}: {one['label']} {number(one['count'])} ({one['kind']})"
        yield from (f"  {line}".rstrip() for line in getattr(panel.live, "lines", ()))
    for chart in panel.so_far[1]:
        if chart is not None:
            spans = [f"{axis['label']} from {number(axis['low'])} to {number(axis['high'])}"
                     for axis in (chart.get("axis"), chart.get("x"), chart.get("y")) if axis]
            yield f"\nChart: {charts.sentence(chart)}\n  axes: {'; '.join(spans)}"


def _effects(panel: Shown) -> Iterator[str]:
    """For each control, how many lines differ at its ends; it is then where it was."""
    before = _lines(panel)
    for name, control in panel.controls.items():
        widget, kept = panel.widgets[name], panel.widgets[name].value
        told = []
        for value in dict.fromkeys((control.values[0], control.values[-1])):
            if value == kept:
                continue
            try:
                widget.value = value
                differ = sum(one != other for one, other in zip(before, _lines(panel))) + abs(len(before) - len(_lines(panel)))
                told.append(f"{differ} of {len(before)} lines change at {number(value) if not isinstance(value, str) else value}")
            except ValueError as error:
                told.append(f"refused at {value}: {error}")
            widget.value = kept
        yield f"Moved, {widget.description}: {', '.join(told) or 'it has one value'}."


def _lines(panel: Shown) -> list[str]:
    panel.finish()
    return [*panel.so_far[0].splitlines(), *"\n".join(_figures(panel)).splitlines()]


def picture(panel: Shown) -> bytes | None:
    """Return the panel's map, or its drawing of who is reached, if it has one, and its charts, one below the other, as a PNG; None if it has none."""
    drawn = [chart for chart in panel.charts if chart is not None]
    if not drawn and not hasattr(panel.live, "drawn") and not hasattr(panel.live, "reach"):
        return None
    import numpy
    from matplotlib import image
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from vmio.lab import printed, printed_map, printed_reach
    maps = [printed_map.figure(panel.live.drawn)] if hasattr(panel.live, "drawn") else []
    maps += [printed_reach.figure(panel.live.reach)] if hasattr(panel.live, "reach") else []
    pages = []
    for page in (*maps, *map(printed.figure, drawn)):
        canvas = FigureCanvasAgg(page)
        canvas.draw()
        pages.append(numpy.asarray(canvas.buffer_rgba()))
    wide = max(page.shape[1] for page in pages)
    sheet = numpy.concatenate([numpy.pad(page, ((0, 0), (0, wide - page.shape[1]), (0, 0)), constant_values=255) for page in pages])
    file = io.BytesIO()
    image.imsave(file, sheet, format="png", metadata={"Software": None})  # type: ignore[dict-item]  # None leaves the entry out
    return file.getvalue()
