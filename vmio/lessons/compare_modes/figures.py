"""Figures with one line or bar for each mode, in the mode's own colour: parts of time, latencies, break-even."""

from math import ceil, floor, log10

from vmio.lab.figures import KeptFigure, StackedBars, ceiling
from vmio.lab.style import INK, LINES, TEXT, color
from vmio.table import number

LETTER = 0.118      # inches, of TEXT on the average


class ModeTimes(StackedBars):
    """`StackedBars` whose rows are modes: longer names, more parts, so the legend has two lines."""

    def __init__(self, title, unit="us", width=4.6, height=2.9):
        super().__init__(title, unit, width, height)
        self._margins.update(left=0.3, pad=38)

    def _rows(self, count, head, each=0.42):
        super()._rows(count, 0.82, 0.5)

    def _legend(self, names):
        fills = {}
        for index, name in enumerate(names):
            fills[name] = color(name, index)
            line, place = divmod(index, 3)
            x, y = -0.4 + place * 0.38, 1.2 - line * 0.16
            self._text(x, y, "\u25a0", color=fills[name], fontsize=TEXT + 5, transform=self.axes.transAxes)
            self._text(x + 0.08, y, name, transform=self.axes.transAxes)
        return fills


class ModeLines(KeptFigure):
    """Lines by name with a key above: a subclass has `_scale(data)`; `data["series"]` is {name: (xs, ys)}."""

    steps = "default"

    def __init__(self, title, xlabel="", width=4.6, height=2.8):
        super().__init__(title, width, height, left=0.16, bottom=0.225, right=0.96, top=0.78, pad=29)
        self.xlabel = xlabel

    def _names(self, data):
        return tuple(data["series"])

    def _build(self, data):
        axes = self.axes
        axes.minorticks_off()
        axes.tick_params(labelsize=TEXT, color=INK, labelcolor=INK, length=3)
        self._below = self._text(0.5, -0.25, ha="center", transform=axes.transAxes)
        self._lines, x, where = {}, 0.03, self.figure.transFigure
        wide, top = self.figure.get_figwidth(), 0.84
        for index, name in enumerate(data["series"]):
            how = dict(color=color(name, index), linestyle=LINES.get(name, "-"), linewidth=2.4)
            self._lines[name] = axes.plot([], [], drawstyle=self.steps, **how)[0]
            axes.plot([x, x + 0.3 / wide], [top, top], transform=where, clip_on=False, **how)
            self._text(x + 0.37 / wide, top, name, transform=where)
            x += (0.55 + LETTER * len(name)) / wide

    def _move(self, data):
        self._below.set_text(data.get("xlabel", self.xlabel))
        for name, (xs, ys) in data["series"].items():
            self._lines[name].set_data(list(xs), list(ys))
        self._scale(data)

    def _ticks(self, axis, ticks):
        getattr(self.axes, f"set_{axis}ticks")(ticks, [_short(tick) for tick in ticks])


def _short(tick):
    return number(tick) if tick < 10_000 else f"{number(tick / 1000)}k"


class Cdf(ModeLines):
    """How many of the requests took how long at most: `update({"series": {name: latencies}})`."""

    steps = "steps-post"

    def _build(self, data):
        super()._build(data)
        self.axes.set_xscale("log")
        self.axes.minorticks_off()

    def __init__(self, title, unit="us", **size):
        super().__init__(title, f"{unit} at most", **size)

    def _scale(self, data):
        low, high = _decade(min(map(min, data["series"].values())), max(map(max, data["series"].values())))
        for name, values in data["series"].items():
            ordered = sorted(values)
            percents = [100 * n / len(ordered) for n in range(1, len(ordered) + 1)]
            self._lines[name].set_data([low, *ordered, high], [0, *percents, 100])
        self.axes.set_xlim(low, high)
        self._ticks("x", _round_numbers(low, high))
        self.axes.set_ylim(0, 104)
        self.axes.set_yticks([0, 50, 100], ["0", "50", "100 %"])

    def _move(self, data):
        self._below.set_text(self.xlabel)
        self._scale(data)


def _decade(low, high):
    """Limits a little outside of both, at 1, 2 or 5 times a power of ten."""
    numbers = [step * 10.0 ** power for power in range(floor(log10(low)) - 1, ceil(log10(high)) + 1) for step in (1, 2, 5)]
    return max(n for n in numbers if n < low * 0.98), min(n for n in numbers if n > high * 1.02)


def _round_numbers(low, high):
    """Ticks: powers of ten, with 2 and 5 between them if there is room."""
    steps = (1, 2, 5) if high / low <= 150 else (1,)
    return [step * 10.0 ** power for power in range(floor(log10(low)), ceil(log10(high)) + 1) for step in steps
            if low * 0.99 <= step * 10.0 ** power <= high * 1.01]


class SweepLines(ModeLines):
    """Against steps that double: `update({"series": {name: (xs, ys)}, "xlabel": text})`.

    With a `limit` y is linear and the limit a dotted line; without one y is a logarithm.
    """

    def __init__(self, title, limit=None, **size):
        super().__init__(title, **size)
        self.limit = limit

    def _build(self, data):
        super()._build(data)
        self.axes.set_xscale("log", base=2)
        if self.limit is None:
            self.axes.set_yscale("log")
        else:
            self.axes.axhline(self.limit, color=INK, linewidth=1.2, linestyle=":")
        self.axes.minorticks_off()

    def _scale(self, data):
        axes, limit = self.axes, self.limit
        xs = next(iter(data["series"].values()))[0]
        ys = [y for _, row in data["series"].values() for y in row]
        axes.set_xlim(xs[0] / 1.08, xs[-1] * 1.08)
        self._ticks("x", xs[::ceil(len(xs) / 5)])
        if limit is None:
            low, high = _decade(min(ys), max(ys))
            axes.set_ylim(low, high)
            self._ticks("y", _round_numbers(low, high))
        else:
            low, high = -ceiling(-min(ys)) if min(ys) < 0 else 0, ceiling(max(max(ys), 2 * limit))
            axes.set_ylim(low, high)
            self._ticks("y", sorted({low, 0, limit, round(high / 2) if high > 3 * limit else high, high}))
