"""The map of `isolation_view.py` on paper: for a stored notebook, a web view, a print.  It says in words what the page's own drawing says."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vmio.lab.palette import INK, OKABE_ITO, PALE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, ROW = 9.0, 0.27              # inches: of the picture, of a line of words
DOORS, WALL, PLACES, END = 0.1, 3.9, 6.0, 8.9       # where they stand, in inches from the left; the right edge
PAPER, HARM = "#FFFFFF", OKABE_ITO["vermillion"]


def figure(drawn: Mapping[str, Any]) -> "Figure":
    """Return a map (`attack_map`) as a matplotlib figure: the hostile guest's doors, the wall, all places, the attack as an arrow."""
    from matplotlib.patches import Rectangle

    from vmio.lab import style
    places = [(guest["name"], one) for guest in drawn["guests"] for one in guest["places"]]
    rows = max(len(places) + len(drawn["guests"]), len(drawn["doors"]) + 1)
    high = ROW * (rows + 4)
    paper = style.new_figure(WIDTH, high)
    with style.look(style.STYLE):
        plot = paper.add_axes((0, 0, 1, 1))
        plot.set_xlim(0, WIDTH)
        plot.set_ylim(high, 0)
        plot.axis("off")

        def say(x: float, row: float, words: str, **how: Any) -> None:
            plot.text(x, ROW * (row + 0.5), words, va="center", fontsize=11, **{"color": INK, **how})

        def box(x: float, row: float, wide: float, tall: float, **how: Any) -> None:
            plot.add_patch(Rectangle((x, ROW * row), wide, ROW * tall, **{"edgecolor": INK, "facecolor": PAPER, "linewidth": 1.2, **how}))

        say(DOORS, 0, drawn["title"], fontweight="bold")
        box(DOORS, 1.3, 1.9, len(drawn["doors"]) + 1.2)
        say(DOORS + 0.1, 1.4, "hostile guest", fontweight="bold")
        for at, door in enumerate(drawn["doors"]):
            say(DOORS + 0.1, 2.4 + at, door, fontweight="bold" if door == drawn["door"] else "normal", color=INK if door == drawn["door"] else "#767676")
        up = drawn["wallIs"] == "up"
        box(WALL, 1.3, 0.12, rows + 0.2, facecolor=INK if up else PAPER, linestyle="-" if up else "--")
        say(WALL + 0.06, rows + 2, f"{drawn['wall']}: {drawn['wallIs']}", ha="center", fontweight="bold")
        say(WALL + 0.06, rows + 3, f"{drawn['check']}, {drawn['file']}", ha="center")
        row, aims = 1.3, []
        for guest in drawn["guests"]:
            say(PLACES, row, guest["name"], fontweight="bold")
            for one in guest["places"]:
                row += 1
                box(PLACES, row + 0.05, END - PLACES, 0.9, edgecolor=HARM if one["harmed"] else PALE, linewidth=2 if one["harmed"] else 1)
                say(PLACES + 0.1, row, f"{one['name']}: {'× ' if one['harmed'] else ''}{one['state']}", fontweight="bold" if one["harmed"] else "normal")
                aims += [row + 0.5] * (one["aim"] or one["harmed"])
            row += 1
        start = ROW * (2.9 + drawn["doors"].index(drawn["door"]))
        through = drawn["way"] in ("through", "nowhere")
        stop = (WALL + 0.12, start) if through else (WALL - 0.05, start)
        plot.annotate("", stop, (DOORS + 1.9, start), arrowprops={"arrowstyle": "-" if through and aims else "-|>", "linewidth": 2.5, "color": HARM})
        for aim in aims:
            plot.annotate("", (PLACES - 0.05, ROW * aim), (WALL + 0.15, start), arrowprops={
                "arrowstyle": "-|>", "linewidth": 2.5 if drawn["way"] == "through" else 1.2, "color": HARM,
                "linestyle": "-" if drawn["way"] == "through" else "--"})
        say(DOORS, rows + 2, drawn["end"], fontweight="bold", color=HARM)
    return paper
