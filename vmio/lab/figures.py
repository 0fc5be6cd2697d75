"""The figures of the lessons, each built once and then moved.

A kept figure has `update(data)`, which changes the artists it already has and
returns itself, and `svg()`, which is drawn again only when the data differ from
last time.  So a slider that changes one of three figures pays for one.  New
names (a reason, a run) rebuild the axes; new values only move them.

Every bar and line carries its own label: no reader has to match colours.
"""

from math import ceil, floor, log10

from vmio.lab.style import INK, MARKERS, TEXT, TITLE, color, line, look, new_axes, new_figure, svg
from vmio.table import number


def ceiling(value):
    """The next round number: an axis that stands still while its data move a little."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 6, 8, 10) if step * power >= value * 0.999999)


class KeptFigure:
    """What all of them share.  A subclass has `_names(data)`, `_build(data)` and `_move(data)`."""

    def __init__(self, title, width=6.4, height=2.8, **margins):
        self.title = title
        self.figure = new_figure(width, height)
        self._height = height
        self._margins = margins
        self.axes = new_axes(self.figure, title=title, **margins)
        self._data = self._built = self._svg = None

    def __repr__(self):
        return f"{type(self).__name__}({self.title!r})"

    def update(self, data):
        """Show `data`; returns self."""
        if data != self._data:
            names = self._names(data)
            with look():
                if names != self._built:
                    self.axes.remove()
                    self.axes = new_axes(self.figure, title=self.title, **self._margins)
                    self._build(data)
                    self._built = names
                self._move(data)
            self._data, self._svg = data, None
        return self

    def svg(self):
        """The picture as an <svg> element."""
        if self._svg is None:
            self._svg = svg(self.figure, self.title)
        return self._svg

    def _text(self, x, y, text="", **how):
        return self.axes.text(x, y, text, **{"fontsize": TEXT, "color": INK, "va": "center", **how})

    def _bare(self, names):
        """Category names down the left side and a base line: the bars say their numbers themselves."""
        self.axes.axison = False  # an axis with ticks would cost more than all the bars
        self.axes.set_ylim(len(names) - 0.4, -0.6)
        self.axes.vlines(0, -0.5, len(names) - 0.5, color=INK, linewidth=1)
        for at, name in enumerate(names):
            self._text(-0.015, at, name, ha="right", transform=self.axes.get_yaxis_transform())

    def _rows(self, count, head, each=0.42):
        """Make the figure as high as `count` rows of bars need below a head of `head` inches, and no higher than asked for."""
        high = min(self._height, head + each * count)
        if high > self.figure.get_figheight() or self._built is None:  # it grows and never shrinks: the page must not jump
            self.figure.set_figheight(high)
            self._margins["top"] = 1 - head / high
            self.axes.set_position([self._margins["left"], 0.02, self._margins["right"] - self._margins["left"], 0.98 - head / high])

    def _legend(self, names):
        """Above the axes, a coloured square before each name; returns {name: colour}."""
        fills, x = {}, 0.0
        em = 6.4 / self.figure.get_figwidth()  # places are fractions of the axes, letters are not
        for index, name in enumerate(names):
            fills[name] = color(name, index)
            where = dict(transform=self.axes.transAxes, va="bottom")
            self._text(x, 1.01, "\u25a0", **{**where, "color": fills[name], "fontsize": TITLE + 4})
            self._text(x + 0.052 * em, 1.02, name, **where)
            x += (0.09 + 0.0225 * len(name)) * em
        return fills


class StackedBars(KeptFigure):
    """Where the time goes: a bar for each row, cut into parts.

    `update({row: {part: value}})`, values in `unit`, all rows with the same
    parts; a part is named in its bar where it is wide enough.
    """

    def __init__(self, title, unit="ns", width=6.4, height=2.6):
        super().__init__(title, width, height, left=0.21, bottom=0.02, right=0.99, top=0.74, pad=27)
        self.unit = unit

    def _names(self, data):
        return tuple(data), tuple(next(iter(data.values())))

    def _build(self, data):
        rows, parts = self._names(data)
        self._rows(len(rows), 0.78, 0.6)
        self._bare(rows)
        self._bars, self._words = {}, {}
        for part, fill in self._legend(parts).items():
            for at, row in enumerate(rows):
                self._bars[row, part] = self.axes.barh(at, 0, color=fill, edgecolor=INK, linewidth=0.7)[0]
                self._words[row, part] = self._text(0, at, ha="center")
        self._totals = {row: self._text(0, at, fontweight="bold") for at, row in enumerate(rows)}

    def _move(self, data):
        top = ceiling(max(sum(parts.values()) for parts in data.values()))
        self.axes.set_xlim(0, top * 1.3)
        for row, parts in data.items():
            left = 0
            for part, value in parts.items():
                bar, word, text = self._bars[row, part], self._words[row, part], number(value)
                bar.set_x(left)
                bar.set_width(value)
                word.set_x(left + value / 2)
                word.set_text(text if value > top * 1.3 * 0.032 * len(text) else "")
                left += value
            self._totals[row].set_text(f"\u00a0{number(left)} {self.unit}")
            self._totals[row].set_x(left)


class CountBars(KeptFigure):
    """Counts by reason, one bar each: `update({reason: count})`.

    With `log` a bar is as long as the number has digits, and 0 has no bar.
    `fill` is a colour, or a mode's name for the mode's.
    """

    def __init__(self, title, log=False, fill="exit", width=6.4, height=2.6, left=0.33):
        super().__init__(title, width, height, left=left, bottom=0.02, right=0.99, top=0.86)
        self.log = log
        self.fill = fill if fill.startswith("#") else color(fill)

    def _names(self, data):
        return tuple(data)

    def _build(self, data):
        self._rows(len(data), 0.42)
        self._bare(tuple(data))
        self._bars = self.axes.barh(range(len(data)), [0] * len(data), color=self.fill, edgecolor=INK, linewidth=0.7)
        self._words = [self._text(0, at) for at in range(len(data))]

    def _length(self, value):
        return value if not self.log else log10(value) + 0.3 if value >= 1 else 0

    def _move(self, data):
        top = max([self._length(value) for value in data.values()] + [0])
        letters = max((len(number(value)) for value in data.values()), default=1) + 2
        room = letters * 10.2 / (self.figure.get_figwidth() * 96 * self.axes.get_position().width)  # of the axes, for the words
        self.axes.set_xlim(0, (ceil(top + 0.01) if self.log else ceiling(top)) / (1 - min(room, 0.6)))
        for bar, word, value in zip(self._bars, self._words, data.values()):
            bar.set_width(self._length(value))
            word.set_x(self._length(value))
            word.set_text("\u00a0" + number(value))


class Curves(KeptFigure):
    """Lines with a mark where the slider stands: `update({"series": {name: (xs, ys)}, "at": x})`.

    `at` may be absent or None; at a value that is one of `xs` the mark carries
    the number that was counted there, between two it is not drawn.  `top` fixes
    the upper end of a linear y axis.
    """

    def __init__(self, title, xlabel, ylabel, logx=False, logy=False, width=6.4, height=3.2, top=None):
        super().__init__(title, width, height, left=0.145, bottom=0.19, right=0.77, top=0.88)
        self.xlabel, self.ylabel, self.logx, self.logy, self.top = xlabel, ylabel, logx, logy, top

    def _names(self, data):
        return tuple(data["series"])

    def _build(self, data):
        axes = self.axes
        axes.set_xscale("log", base=2) if self.logx else None
        axes.set_yscale("log") if self.logy else None
        axes.minorticks_off()
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: number(value))
        axes.tick_params(labelsize=TEXT, color=INK, labelcolor=INK, length=3)
        axes.set_xlabel(self.xlabel, fontsize=TEXT)
        axes.set_ylabel(self.ylabel, fontsize=TEXT)
        axes.xaxis.set_label_coords(0.5, -0.13)  # given places: looking for free ones costs as much as the lines
        axes.yaxis.set_label_coords(-0.14, 0.5)
        self._lines, self._ends, self._marks, self._words = {}, {}, {}, {}
        for index, name in enumerate(data["series"]):
            ink = color(name, index)
            style = dict(color=ink, linestyle=line(name, index), linewidth=2.2)
            self._lines[name] = axes.plot([], [], **style)[0]
            self._marks[name] = axes.plot([], [], MARKERS.get(name, "o"), color=ink, markersize=9, markeredgecolor=INK,
                                           clip_on=False)[0]
            self._ends[name] = axes.annotate(name, (1, 1), (8, 0), textcoords="offset points", va="center",
                                             color=ink, fontsize=TEXT, fontweight="bold", annotation_clip=False)
            self._words[name] = axes.annotate("", (1, 1), (0, 8), textcoords="offset points", ha="center", va="bottom",
                                              color=INK, fontsize=TEXT, fontweight="bold")

    def _move(self, data):
        series, at = data["series"], data.get("at")
        all_x = [x for xs, _ in series.values() for x in xs]
        all_y = [y for _, ys in series.values() for y in ys if y > 0 or not self.logy]
        if self.logy:
            self.axes.set_ylim(10.0 ** floor(log10(min(all_y) * 0.8)), 10.0 ** ceil(log10(max(all_y) * 2)))
            low, high = (log10(y) for y in self.axes.get_ylim())
            ticks = range(round(low), round(high) + 1, max(1, ceil((high - low) / 5)))
            self.axes.set_yticks([10.0 ** power for power in ticks])
        else:
            self.axes.set_ylim(0, self.top or ceiling(max(all_y) * 1.1))
        margin = 0 if self.logx else (max(all_x) - min(all_x)) * 0.02
        if self.logx:
            xs = sorted(set(all_x))
            self.axes.set_xticks(xs[::ceil(len(xs) / 6)])
        self.axes.set_xlim(min(all_x) / (1.1 if self.logx else 1) - margin, max(all_x) * (1.1 if self.logx else 1) + margin)
        for name, (xs, ys) in series.items():
            self._lines[name].set_data(list(xs), list(ys))
            self._ends[name].xy = (xs[-1], ys[-1])
            here = [(x, y) for x, y in zip(xs, ys) if x == at]
            self._marks[name].set_data([x for x, _ in here], [y for _, y in here])
            self._words[name].set_text(number(here[0][1]) if here else "")
            if here:
                self._words[name].xy = here[0]


class GroupedBars(KeptFigure):
    """Runs side by side: `update({run: {measure: value}})`, all runs with the same measures.

    Each measure has its own scale (its largest bar is full height), for exits
    and microseconds have nothing in common; the bars carry their numbers.
    """

    def __init__(self, title, width=6.4, height=3.0):
        super().__init__(title, width, height, left=0.02, bottom=0.11, right=0.99, top=0.77, pad=27)

    def _names(self, data):
        return tuple(data), tuple(next(iter(data.values())))

    def _build(self, data):
        runs, measures = self._names(data)
        wide = 0.88 / len(runs)
        self.axes.axison = False
        self.axes.hlines(0, -wide, len(measures) - 0.2, color=INK, linewidth=1)
        for at, measure in enumerate(measures):
            self._text(at + 0.44 - wide / 2, -0.03, measure, ha="center", va="top")
        self.axes.set_ylim(0, 1.15)
        self.axes.set_xlim(-wide, len(measures) - 0.2)
        self._bars, self._words = {}, {}
        for index, (run, fill) in enumerate(self._legend(runs).items()):
            for at, measure in enumerate(measures):
                place = at + index * wide
                self._bars[run, measure] = self.axes.bar(place, 0, wide * 0.92, color=fill, edgecolor=INK, linewidth=0.7)[0]
                self._words[run, measure] = self._text(place, 0, ha="center", va="bottom")

    def _move(self, data):
        runs, measures = self._names(data)
        for measure in measures:
            top = max(data[run][measure] for run in runs) or 1
            for run in runs:
                value = data[run][measure]
                self._bars[run, measure].set_height(value / top)
                self._words[run, measure].set_y(value / top + 0.01)
                self._words[run, measure].set_text(number(value))
