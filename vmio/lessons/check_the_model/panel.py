"""*Check the model*: papers beside the model as tables, the sources of all prices, and one picture of every ratio."""

import re
from typing import TypeAlias

from vmio.experiments import papers
from vmio.experiments.papers.result import filled, summary
from vmio.hypervisor.costs import CostModel, published
from vmio.lab import axes, charts, palette
from vmio.lab.charts import Chart
from vmio.lab.controls import toggle
from vmio.lab.panel import Panel, Shown
from vmio.table import number, table

LOW, HIGH = 0.4, 2.5        # ends of the axis of ratios
Ratios: TypeAlias = dict[str, list[tuple[float, bool, bool]]]      # result -> (model by paper, agrees?, was fitted?) of each row


def paper(name: str) -> str:
    """The table of one result, by its name in `papers.ALL`."""
    return papers.run(name).table()


def published_ratio(what: str) -> float:
    """What the paper says in a row of the exit ladder."""
    return next(row.paper for row in papers.run("exit ladder").rows if row.what == what)


def all_papers() -> str:
    """One line for each result."""
    return summary({name: papers.run(name) for name in papers.ALL})


def price_sources(costs: str = "server-2022") -> str:
    """Every price of a preset, and the published figures that it is made from."""
    used, lines = {}, [f"prices of {costs}"]
    for name, value, unit, source in CostModel.preset(costs).table_rows():
        lines += filled(f"{name:18} {number(value):>14} {unit:7} ", source, indent=42)
        for row_id in re.findall(r"[A-Z]\d\d\.\w+", source):
            row = published()[row_id]
            used[row_id] = f"{row['quantity']}, {number(float(row['value']))} {row['unit']}. {row['source']}"
    return "\n".join([*lines, "", *(line for row_id in sorted(used) for line in filled(f"{row_id} ", used[row_id]))])


def _dots(ratios: Ratios) -> Chart:
    """Model by paper: a hollow circle was fitted, a full one agrees, a diamond doesn't; within 10 % is grey."""
    places = [(min(max(ratio, LOW), HIGH), at, "fitted" if fitted else "agrees" if agrees else "off")
              for at, rows in enumerate(ratios.values()) for ratio, agrees, fitted in rows]
    kinds = {"fitted": ("#FFFFFF", "circle"), "agrees": (palette.OKABE_ITO["green"], "circle"),
             "off": (palette.OKABE_ITO["vermillion"], "diamond")}
    groups = {kind: (*how, [(ratio, row) for ratio, row, one in places if one == kind]) for kind, how in kinds.items()}
    return charts.dots("Model by paper", list(ratios), groups, {**axes.log("model / paper", (), (0.5, 1, 2)), "low": LOW, "high": HIGH},
                       (1 / 1.1, 1.1), 1)


def _ratios(fitted: bool) -> Ratios:
    return {name: [(row.ratio, row.agrees, row.use == "fit") for row in papers.run(name).rows
                   if fitted or row.use != "fit"] for name in papers.ALL}


def _view(ratios: Ratios) -> Shown:
    rows = [(name, f"{min(all_of)[0]:.2f}-{max(all_of)[0]:.2f}", f"{sum(agrees for _, agrees, _ in all_of)}/{len(all_of)}")
            for name, all_of in ratios.items()]
    fitted = any(fitted for all_of in ratios.values() for _, _, fitted in all_of)
    text = table(rows, ("", "ratios", "agree"), align="<>>", title="all figures" if fitted else "held-out figures")
    return text + "\n\nhollow: fitted; diamond: off", [_dots(ratios)]


def ratio_panel() -> Panel:
    """Every ratio of model and paper."""
    return Panel(_ratios, [toggle("fitted", False, label="Fitted ones too")], _view, name="check_the_model")
