"""How full the rings are over virtual time: step lines, and a mark for each signal."""

from vmio.lab.figures import KeptFigure, ceiling
from vmio.lab.style import INK, TEXT
from vmio.table import number

STYLES = ("-", "--")


class StepLines(KeptFigure):
    """`update({"series": {name: [(ns, bytes), ...]}, "marks": {name: [ns, ...]}, "top": bytes or None})`.

    A value holds until the next one.  Marks stand below the line's axis, a row
    for each name; `top` is drawn as a line that says "full".
    """

    def __init__(self, title, unit="bytes used", width=4.6, height=3.4):
        super().__init__(title, width, height, left=0.19, bottom=0.31, right=0.93, top=0.79, pad=27)
        self.unit = unit

    def _names(self, data):
        return tuple(data["series"]), data["top"] is not None

    def _build(self, data):
        axes = self.axes
        axes.minorticks_off()
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: number(value))
        axes.tick_params(labelsize=TEXT, color=INK, labelcolor=INK, length=3)
        self._below = self._text(0.5, 0, ha="center", transform=axes.transAxes)
        self._lines, self._marks = {}, {}
        for row, (name, ink) in enumerate(self._legend(tuple(data["series"])).items()):
            self._lines[name] = axes.plot([], [], STYLES[row % 2], color=ink, linewidth=2, drawstyle="steps-post")[0]
            self._marks[name] = axes.plot([], [], "|", color=ink, markersize=10, markeredgewidth=2, clip_on=False,
                                          transform=axes.get_xaxis_transform())[0]
        self._top = axes.axhline(0, color=INK, linewidth=1, linestyle=":")
        self._full = self._text(0.99, 0, "full", ha="right", va="bottom", transform=axes.get_yaxis_transform())
        for artist in (self._top, self._full):
            artist.set_visible(data["top"] is not None)

    def _move(self, data):
        series, top = data["series"], data["top"]
        last = max(ns for steps in series.values() for ns, _ in steps) / 1000
        most = max(used for steps in series.values() for _, used in steps)
        self.axes.set_xlim(0, last * 1.02 or 1)
        self.axes.set_ylim(0, ceiling(max(most, top or 0)) if top is None else top * 1.15)
        right = self.axes.get_xlim()[1]
        self.axes.set_xticks([right * part for part in (0, 0.5)] + [last])
        for row, (name, steps) in enumerate(series.items()):
            self._lines[name].set_data([ns / 1000 for ns, _ in steps], [used for _, used in steps])
            marks = data["marks"].get(name, ())
            self._marks[name].set_data([ns / 1000 for ns in marks], [-0.24 - 0.1 * row] * len(marks))
        some = any(data["marks"].values())
        self._below.set_text("virtual time in us" + ", ticks are signals" * some)
        self._below.set_y(-0.47 if some else -0.24)
        if top is not None:
            self._top.set_ydata([top, top])
            self._full.set_y(top)
