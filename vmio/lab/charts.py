"""Charts as plain data: what a figure shows, without how it is drawn.

A chart is a dict that both `static/charts.js` (live, in the page) and
`printed.py` (matplotlib, for a file or a paper) draw.  Its limits, ticks and
words are made here, once, so both say the same and a test can read them.

    bars    a bar for each name                 kind, title, unit, axis, bars: [{name, value, text, color}]
    stack   bars that are cut into parts        kind, title, axis, parts: [{name, color}], rows: [{name, values, texts, total}]
    lines   lines, some as steps                kind, title, x, y, at, limits: [{y, text}], series: [{name, color, dash, marker,
                                                x, y, step, here, ticks}]
    dots    points in a row for each name       kind, title, axis, names, band, line, groups: [{name, fill, marker, points}]

A chart that has nothing to show is None: an axis without content is not drawn.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from vmio.lab import axes, palette
from vmio.table import number

Chart = dict[str, Any]      # plain data, as above
Points = tuple[Sequence[float], Sequence[float]]


def bars(title: str, values: Mapping[str, float], unit: str, log: bool = False, color: str = "exit") -> Chart:
    """A bar for each of `values` {name: value}, with its number at its end, on an axis in `unit`.

    With `log` the axis has equal steps for 0, 1, 10, 100.  `color` names a mode, a part or a colour (#RRGGBB).
    """
    axis = (axes.count if log else axes.linear)(unit, values.values())
    fill = color if color.startswith("#") else palette.color(color)
    return {"kind": "bars", "title": title, "unit": unit, "axis": axis, "bars": [
        {"name": name, "value": value, "text": number(value), "color": fill} for name, value in values.items()]}


def stack(title: str, rows: Mapping[str, Mapping[str, float]], unit: str) -> Chart:
    """Where the time goes: for each of `rows` {name: {part: value}} a bar, cut into the same parts; the total at its end."""
    parts = list(next(iter(rows.values())))
    totals = {name: sum(values.values()) for name, values in rows.items()}
    return {"kind": "stack", "title": title, "axis": axes.linear(unit, totals.values()),
            "parts": [{"name": part, "color": palette.color(part, index)} for index, part in enumerate(parts)],
            "rows": [{"name": name, "values": [values[part] for part in parts], "texts": [number(values[part]) for part in parts],
                      "total": f"{number(totals[name])} {unit}"} for name, values in rows.items()]}


def lines(title: str, series: Mapping[str, Points], x: axes.Axis, y: axes.Axis, at: float | None = None,
          step: bool = False, ticks: Mapping[str, Sequence[float]] | None = None,
          limits: Mapping[str, float] | None = None) -> Chart:
    """Lines through `series` {name: (xs, ys)} on two axes (`vmio.lab.axes`).

    `at` is where a slider stands: a line stands there, and the key says each
    series' value if it was counted there.  With `step` a value holds until the next
    one.  `ticks` {name: xs} are marks under the axis, a row for each name; `limits` {text: y}
    are dotted lines across.
    """
    drawn = []
    for index, (name, (xs, ys)) in enumerate(series.items()):
        here = None if at is None else dict(zip(xs, ys)).get(at)
        drawn.append({"name": name, "color": palette.color(name, index), "dash": palette.dash(name, index),
                      "marker": palette.marker(name, index), "x": list(xs), "y": list(ys), "step": step,
                      "here": None if here is None else number(here), "ticks": list((ticks or {}).get(name, ()))})
    return {"kind": "lines", "title": title, "x": x, "y": y, "at": at, "series": drawn,
            "limits": [{"text": text, "y": value} for text, value in (limits or {}).items()]}


def dots(title: str, names: Sequence[str], groups: Mapping[str, tuple[str, str, Sequence[tuple[float, int]]]], axis: axes.Axis,
         band: tuple[float, float], line: float) -> Chart:
    """Points in a row for each of `names`; `groups` {name: (fill, marker, [(value, row), ...])}, a grey `band` around a `line`."""
    return {"kind": "dots", "title": title, "axis": axis, "names": list(names), "band": list(band), "line": line,
            "groups": [{"name": name, "fill": fill, "marker": mark, "points": [list(point) for point in points]}
                       for name, (fill, mark, points) in groups.items() if points]}


def rings(title: str, occupancy: Mapping[str, Sequence[tuple[int, int]]], signals: Mapping[str, Sequence[int]] | None = None,
          full: int | None = None) -> Chart:
    """How full rings are over virtual time: `occupancy` {name: [(ns, bytes), ...]}, `signals` {name: [ns, ...]}, `full` in bytes."""
    series = {name: ([ns / 1000 for ns, _ in steps], [used for _, used in steps]) for name, steps in occupancy.items()}
    x = axes.linear("virtual time in us", (), top=max(xs[-1] for xs, _ in series.values()) or 1)
    y = axes.linear("bytes used", [used for _, ys in series.values() for used in ys], top=full and full * 1.15)
    ticks = {name: [ns / 1000 for ns in sent] for name, sent in (signals or {}).items()}
    return lines(title, series, x, y, step=True, ticks=ticks, limits={"full": full} if full else {})


def sentence(chart: Chart) -> str:
    """The chart in a sentence, for those who hear it."""
    return f"{chart['title']}: {'; '.join(_said(chart))}."


def _said(chart: Chart) -> list[str]:
    if chart["kind"] == "bars":
        return [f"{bar['name']} {bar['text']}" for bar in chart["bars"]] + [f"in {chart['unit']}"]
    if chart["kind"] == "stack":
        return [f"{row['name']} {row['total']} ({', '.join(map(_joined, chart['parts'], row['texts']))})" for row in chart["rows"]]
    if chart["kind"] == "dots":
        return [f"{name}: {' and '.join(found)}" for at, name in enumerate(chart["names"])
                if (found := [f"{sum(row == at for _, row in group['points'])} {group['name']}" for group in chart["groups"]
                              if any(row == at for _, row in group["points"])])]
    said = [f"{chart['y']['label']} by {chart['x']['label']}"]
    for one in chart["series"]:
        here = f"{one['here']} at {number(chart['at'])}, " if one["here"] is not None else ""
        said.append(f"{one['name']} {here}from {number(min(one['y']))} to {number(max(one['y']))}")
    return said


def _joined(part: Mapping[str, str], text: str) -> str:
    return f"{part['name']} {text}"
