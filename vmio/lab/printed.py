"""Charts on paper: the charts of `charts.py` drawn by matplotlib, for files, for print, and beside a paper's own figures.

    from vmio.lab import printed
    printed.svg(panel.charts[0])            # text
    printed.png(panel.charts[0])            # bytes
    printed.figure(panel.charts[0])         # a matplotlib Figure, to change and save in any format

Nothing here runs while a panel is moved, and matplotlib is imported when the first chart is printed.
"""

import io
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Literal

from vmio.lab import axes, charts
from vmio.lab.palette import INK, PALE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = {"solid": "-", "dashed": "--", "dashdot": "-.", "dotted": ":"}
MARKS = {"circle": "o", "square": "s", "diamond": "D", "triangle": "^", "down": "v", "hexagon": "h"}
WIDTH, ROW, PLOT = 6.4, 0.36, 2.0     # inches: of a picture, of a bar, of the room for lines
HEAD, LEGEND, FOOT = 0.45, 0.3, 0.75  # inches: of the title, the key, the axis below
DOTS = 200                            # to the inch, of a PNG
LETTER = 0.125                        # inches, of a letter on the average


def svg(chart: charts.Chart, width: float = WIDTH) -> str:
    """Return the chart as an <svg> element, `width` inches wide; equal charts are equal texts."""
    from vmio.lab import style
    return style.svg(figure(chart, width), charts.sentence(chart))


def png(chart: charts.Chart, width: float = WIDTH) -> bytes:
    """Return the chart as a PNG file, `width` inches wide, `DOTS` to the inch; equal charts are equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from vmio.lab import style
    paper, file = figure(chart, width), io.BytesIO()
    paper.set_dpi(DOTS)
    with style.look(style.STYLE):
        FigureCanvasAgg(paper).print_png(file, metadata={"Software": None})
    return file.getvalue()


def figure(chart: charts.Chart, width: float = WIDTH) -> "Figure":
    """Return the chart as a matplotlib figure, `width` inches wide, that pyplot does not know."""
    from vmio.lab import style
    names = _names(chart)
    rows = len(names) * ROW if names else PLOT
    ticked = [one for one in chart.get("series", ()) if one["ticks"]]
    foot = FOOT + 0.2 * len(ticked)
    head = HEAD + LEGEND * (chart["kind"] != "bars")
    high = head + rows + foot
    left = max([len(name) * LETTER for name in names], default=0.9) + 0.15
    paper = style.new_figure(width, high)
    plot = style.new_axes(paper, left / width, foot / high, 1 - 0.75 / width, 1 - head / high)
    with style.look(style.STYLE):
        paper.text(0.1 / width, 1 - 0.08 / high, chart["title"], va="top", fontsize=style.TITLE, fontweight="bold", color=INK)
        _axis(plot, "x", chart.get("axis") or chart["x"], width - left - 0.75)
        if names:
            plot.set_ylim(len(names) - 0.4, -0.6)
            plot.set_yticks(range(len(names)), names)
            plot.tick_params(axis="y", length=0)
        {"bars": _bars, "stack": _stack, "lines": _lines, "dots": _dots}[chart["kind"]](plot, chart)
        handles, words = plot.get_legend_handles_labels()
        if handles:
            plot.legend(handles, words, loc="lower left", bbox_to_anchor=(-left / (width - left - 0.75), 1.0), ncols=len(handles),
                        frameon=False, handlelength=1.6, columnspacing=1.0, borderaxespad=0.1, handletextpad=0.4)
    return paper


def _names(chart: charts.Chart) -> Sequence[str]:
    if chart["kind"] == "stack" and len(chart["rows"]) == 1:
        return ("",)
    return chart.get("names") or [one["name"] for one in chart.get("bars") or chart.get("rows") or ()]


def _axis(plot: "Axes", which: Literal["x", "y"], axis: axes.Axis, long: float = 0) -> None:
    """Places are those of `axes.place`, as in the page: matplotlib's own scales have no say.  `long`, in inches, of x."""
    places = [axes.place(axis, value) for value, _ in axis["ticks"]]
    need = max(len(text) for _, text in axis["ticks"]) * LETTER
    step = min(high - low for low, high in zip(places, places[1:])) * long
    every = ceil(need / step) if long else 1      # so many ticks have one word
    getattr(plot, f"set_{which}lim")(0, 1)
    getattr(plot, f"set_{which}ticks")(places, [text if at % every == 0 else "" for at, (_, text) in enumerate(axis["ticks"])])
    getattr(plot, f"set_{which}label")(axis["label"])
    plot.grid(axis=which, color=PALE, zorder=0)
    plot.set_axisbelow(True)


def _bars(plot: "Axes", chart: charts.Chart) -> None:
    for at, one in enumerate(chart["bars"]):
        long = axes.place(chart["axis"], one["value"])
        plot.barh(at, long, color=one["color"], edgecolor=INK, linewidth=0.7)
        plot.text(long, at, "\u00a0" + one["text"], va="center")


def _stack(plot: "Axes", chart: charts.Chart) -> None:
    for at, row in enumerate(chart["rows"]):
        left = 0.0
        for part, value, text in zip(chart["parts"], row["values"], row["texts"]):
            long = axes.place(chart["axis"], value)
            plot.barh(at, long, left=left, color=part["color"], edgecolor=INK, linewidth=0.7, label=None if at else part["name"])
            if long > 0.032 * len(text):
                plot.text(left + long / 2, at, text, ha="center", va="center")
            left += long
        plot.text(left, at, "\u00a0" + row["total"], va="center", fontweight="bold")


def _lines(plot: "Axes", chart: charts.Chart) -> None:
    x, y, ticked = chart["x"], chart["y"], [one for one in chart["series"] if one["ticks"]]
    _axis(plot, "y", y)
    for one in chart["series"]:
        xs, ys = ([axes.place(axis, value) for value in one[name]] for axis, name in ((x, "x"), (y, "y")))
        label = one["name"] if one["here"] is None else f"{one['name']}: {one['here']}"
        plot.plot(xs, ys, LINES[one["dash"]], color=one["color"], linewidth=2.2, label=label,
                  drawstyle="steps-post" if one["step"] else "default")
        if one["here"] is not None:
            plot.plot([axes.place(x, chart["at"])], [axes.place(y, one["y"][one["x"].index(chart["at"])])], MARKS[one["marker"]],
                      color=one["color"], markersize=8, markeredgecolor=INK, clip_on=False)
    for one in chart["limits"]:
        plot.axhline(axes.place(y, one["y"]), color=INK, linewidth=1.2, linestyle=":")
        plot.text(1, axes.place(y, one["y"]), one["text"], ha="right", va="bottom")
    for row, one in enumerate(ticked):
        down = -(0.1 + 0.2 * row) / PLOT
        plot.plot([axes.place(x, value) for value in one["ticks"]], [down] * len(one["ticks"]), "|", color=one["color"],
                  markersize=10, markeredgewidth=1.6, clip_on=False)
    if ticked:
        plot.tick_params(axis="x", pad=4 + 0.2 * 72 * len(ticked))
        plot.text(-0.02, -(0.1 * len(ticked)) / PLOT, "signals", ha="right", va="center")


def _dots(plot: "Axes", chart: charts.Chart) -> None:
    plot.axvspan(*(axes.place(chart["axis"], end) for end in chart["band"]), color=PALE, linewidth=0)
    plot.axvline(axes.place(chart["axis"], chart["line"]), color=INK, linewidth=1)
    for group in chart["groups"]:
        plot.plot([axes.place(chart["axis"], value) for value, _ in group["points"]], [row for _, row in group["points"]],
                  MARKS[group["marker"]], linestyle="", color=group["fill"], markersize=8, markeredgecolor=INK, clip_on=False,
                  label=group["name"])
