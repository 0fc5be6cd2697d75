"""The drawing of `reach_view.py` on paper: for a stored notebook, a web view, a print."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vmio.lab.palette import INK, OKABE_ITO, PALE
from vmio.lab.reach_view import called

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, ROW, NAMES, SIGN = 9.0, 0.27, 2.2, 0.17      # inches: of the picture, of a row, where columns begin, of a sign
HARM = OKABE_ITO["vermillion"]


def figure(drawn: Mapping[str, Any]) -> "Figure":
    """Return a drawing (`reach_map`) as a matplotlib figure: a row for each thing, a column for each way, a sign for each attempt."""
    from vmio.lab import style
    places = [(guest["name"], place) for guest in drawn["guests"] for place in guest["places"]]
    most = [max(4, *(len(place["fields"][n]) for _, place in places)) for n in range(len(drawn["ways"]))]
    spare = (WIDTH - NAMES - SIGN * sum(most)) / len(most)
    starts = [NAMES + sum(SIGN * one + spare for one in most[:n]) for n in range(len(most))]
    high = ROW * (len(places) + 2.5)
    paper = style.new_figure(WIDTH, high)
    with style.look(style.STYLE):
        plot = paper.add_axes((0, 0, 1, 1))
        plot.set_xlim(0, WIDTH)
        plot.set_ylim(high, 0)
        plot.axis("off")

        def say(x: float, row: float, words: str, **how: Any) -> None:
            plot.text(x, ROW * (row + 0.5), words, va="center", fontsize=11, **{"color": INK, **how})
        say(0.1, 0, f"{drawn['title']} (a ring was held off, a cross came there)", fontweight="bold")
        for start, way in zip(starts, drawn["ways"]):
            say(start, 1, way, fontweight="bold")
        for row, (whose, place) in enumerate(places, 2):
            plot.plot([0.1, WIDTH - 0.1], [ROW * row, ROW * row], color=PALE, linewidth=0.8)
            say(0.1, row, called(whose, place["name"]), fontweight="bold" if place["here"] else "normal")
            for start, field in zip(starts, place["fields"]):
                for at, one in enumerate(field):
                    plot.plot(start + SIGN * (at + 0.4), ROW * (row + 0.5), marker="x" if one["how"] else "o", markersize=7, markeredgewidth=2 if one["how"] else 1,
                              color=HARM if one["how"] else INK, fillstyle="none")
    return paper
