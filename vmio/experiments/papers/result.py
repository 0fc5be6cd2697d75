"""A published result beside the model's: rows, their ratios, and why one that is off is off."""

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import wrap

from vmio.hypervisor.costs import published
from vmio.table import number, table

WIDTH = 84
USES = ("fit", "test", "rule")


def figure(row_id: str) -> float:
    """Return a figure of data/published.csv, in its own unit."""
    return float(published()[row_id]["value"])


@dataclass(frozen=True)
class Row:
    """One figure: `paper`'s (or its lowest and highest) and the `model`'s.

    `use`: a "fit" has set a parameter, a "test" was held out, a "rule" follows from
    what the source says and is not a measurement.  `within` is the tolerance of the
    ratio, up or down.  `why` says why the model is off.
    """

    what: str
    paper: object
    model: float
    use: str = "test"
    within: float = 0.10
    why: str = ""

    @property
    def ratio(self) -> float:
        """Model by paper; 1 anywhere between the paper's lowest and highest.  Two zeros are equal."""
        low, high = self.paper if isinstance(self.paper, tuple) else (self.paper, self.paper)
        if low <= self.model <= high:
            return 1.0
        bound = low if self.model < low else high
        return self.model / bound if bound else float("inf")

    @property
    def agrees(self) -> bool:
        """Is the ratio within the tolerance?"""
        return 1 / (1 + self.within) - 1e-9 <= self.ratio <= 1 + self.within + 1e-9


@dataclass(frozen=True)
class Result:
    """Rows of one published result.  `setup` says what was run here; `ids` has a row of data/published.csv for each source."""

    title: str
    setup: str
    ids: tuple
    rows: tuple

    @property
    def sources(self) -> list[str]:
        """Where the figures are from, on what hardware and when, with a mark if only an excerpt of it was seen."""
        rows = [published()[row_id] for row_id in self.ids]
        return [f"{row['source']}; {row['hardware']}" + (" [seen in an excerpt]" if row["read"] != "at the source" else "")
                for row in rows]

    def table(self) -> str:
        """Fixed-width text, at most 84 characters wide."""
        whys = list(dict.fromkeys(row.why for row in self.rows if row.why))
        cells = [(row.what, _paper(row.paper), row.model, f"{row.ratio:.2f}", row.use,
                  f"{row.within:.0%}" if row.agrees else "off" + (f" ({'abcdef'[whys.index(row.why)]})" if row.why else ""))
                 for row in self.rows]
        text = table(cells, ("", "paper", "model", "ratio", "use", "within"), align="<>>>>>", title=self.title)
        notes = [("model: ", self.setup)]
        notes += [(f"({'abcdef'[n]}) ", why) for n, why in enumerate(whys)]
        notes += [("from: ", source) for source in self.sources]
        return "\n".join([text, *(line for lead, words in notes for line in filled(lead, words))])


def summary(results: Mapping[str, Result]) -> str:
    """Return a line for each of {name: Result}: figures that were fitted, the others, how many of these agree, the worst."""
    rows = []
    for name, result in results.items():
        held = [row for row in result.rows if row.use != "fit"]
        worst = max(held, key=lambda row: max(row.ratio, 1 / row.ratio))
        rows.append((name, len(result.rows) - len(held), len(held), sum(row.agrees for row in held),
                     f"{worst.ratio:.2f}", worst.what))
    return table(rows, ("", "fit", "others", "agree", "worst", ""), align="<>>>><")


def _paper(paper: float | tuple[float, float]) -> float | str:
    return "-".join(map(number, paper)) if isinstance(paper, tuple) else paper


def filled(lead: str, words: str, indent: int = 4) -> list[str]:
    """Return lines of a paragraph that begins with `lead`."""
    return wrap(lead + words, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
