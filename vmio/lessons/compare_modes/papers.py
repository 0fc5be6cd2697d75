"""The papers beside the model of *Compare the modes*: tables, the sources of all prices, and one picture of every ratio."""

import re

from vmio.experiments import papers
from vmio.experiments.papers.result import filled, summary
from vmio.hypervisor.costs import CostModel, published
from vmio.lab.controls import toggle
from vmio.lab.figures import KeptFigure
from vmio.lab.panel import Panel
from vmio.lab.style import INK, OKABE_ITO, TEXT
from vmio.table import number, table

GREEN, RED = OKABE_ITO["green"], OKABE_ITO["vermillion"]
LOW, HIGH = 0.4, 2.5        # ends of the axis of ratios


def paper(name):
    """The table of one result, by its name in `papers.ALL`."""
    return papers.run(name).table()


def published_ratio(what):
    """What the paper says in a row of the exit ladder."""
    return next(row.paper for row in papers.run("exit ladder").rows if row.what == what)


def all_papers():
    """One line for each result."""
    return summary({name: papers.run(name) for name in papers.ALL})


def price_sources(costs="server-2022"):
    """Every price of a preset, and the published figures that it is made from."""
    used, lines = {}, [f"prices of {costs}"]
    for name, value, unit, source in CostModel.preset(costs).table_rows():
        lines += filled(f"{name:18} {number(value):>14} {unit:7} ", source, indent=42)
        for row_id in re.findall(r"[A-Z]\d\d\.\w+", source):
            row = published()[row_id]
            used[row_id] = f"{row['quantity']}, {number(float(row['value']))} {row['unit']}. {row['source']}"
    return "\n".join([*lines, "", *(line for row_id in sorted(used) for line in filled(f"{row_id} ", used[row_id]))])


class RatioDots(KeptFigure):
    """Model by paper on a log axis: `update({result: [(ratio, does it agree?, is it fitted?), ...]})`.

    Grey: within 10%.  A hollow dot was fitted, a full one agrees, a diamond doesn't.
    """

    def __init__(self, title):
        super().__init__(title, 4.6, 3.6, left=0.43, bottom=0.13, right=0.97, top=0.9)

    def _names(self, data):
        return tuple(data)

    def _build(self, data):
        axes = self.axes
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xlim(LOW, HIGH)
        axes.set_ylim(len(data) - 0.4, -0.6)
        axes.set_xticks([0.5, 1, 2], ["0.5", "1", "2"], fontsize=TEXT)
        axes.set_yticks(range(len(data)), list(data), fontsize=TEXT)
        axes.axvspan(1 / 1.1, 1.1, color="#DDDDDD", linewidth=0)
        axes.axvline(1, color=INK, linewidth=1)
        style = dict(linestyle="", markeredgecolor=INK, clip_on=False)
        self._dots = {"fitted": axes.plot([], [], "o", color="white", markersize=7, **style)[0],
                      "agrees": axes.plot([], [], "o", color=GREEN, markersize=8, **style)[0],
                      "off": axes.plot([], [], "D", color=RED, markersize=8, **style)[0]}

    def _move(self, data):
        for kind, dots in self._dots.items():
            places = [(min(max(ratio, LOW), HIGH), at) for at, rows in enumerate(data.values()) for ratio, agrees, fitted in rows
                      if kind == ("fitted" if fitted else "agrees" if agrees else "off")]
            dots.set_data([x for x, _ in places], [y for _, y in places])


_dots = RatioDots("Model / paper")


def _ratios(fitted):
    return {name: [(row.ratio, row.agrees, row.use == "fit") for row in papers.run(name).rows
                   if fitted or row.use != "fit"] for name in papers.ALL}


def _view(ratios):
    rows = [(name, f"{min(all_of)[0]:.2f}-{max(all_of)[0]:.2f}", f"{sum(agrees for _, agrees, _ in all_of)}/{len(all_of)}")
            for name, all_of in ratios.items()]
    fitted = any(fitted for all_of in ratios.values() for _, _, fitted in all_of)
    text = table(rows, ("", "ratios", "agree"), align="<>>", title="all figures" if fitted else "held-out figures")
    return text + "\n\nhollow: fitted; diamond: off", [_dots.update(ratios)]


def ratio_panel():
    """Every ratio of model and paper."""
    return Panel(_ratios, [toggle("fitted", False, label="Fitted ones too")], _view, name="compare_modes papers")
