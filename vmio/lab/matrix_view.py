"""A matrix of who runs on what: a cell for each row and column with a word and a mark, one of them chosen, by a click or a control.

It takes plain data and knows nothing of guests.  Nothing is said by colour alone: each cell has its mark and its word.  All of it is in
the page as text (and in `text`).
"""

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from vmio.lab.rows import Row

WAITS = "..."               # a cell that has not been run yet
MARKS = ("\u2713", "\u2193", "\u2013", "\u2717")     # from the best word to the worst


class MatrixView(anywidget.AnyWidget):
    """`rows` and `columns` are names, `words` those that a cell may have, from the best to the worst, at most as many as there are MARKS.

    `cells` has a list of words for each row, `at` [row, column] of the chosen one; a click writes its own into `picked`.
    """

    _esm = Path(__file__).parent / "static" / "matrix_view.js"

    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    columns = traitlets.List(traitlets.Unicode()).tag(sync=True)
    words = traitlets.List(traitlets.Unicode()).tag(sync=True)
    marks = traitlets.List(traitlets.Unicode(), list(MARKS)).tag(sync=True)
    corner = traitlets.Unicode("").tag(sync=True)
    cells = traitlets.List(traitlets.List(traitlets.Unicode())).tag(sync=True)
    at = traitlets.List(traitlets.Int(), [0, 0]).tag(sync=True)
    picked = traitlets.List(traitlets.Int()).tag(sync=True)
    text = traitlets.Unicode("").tag(sync=True)

    @traitlets.validate("cells")
    def _check(self, proposal: Any) -> list[list[str]]:
        """A cell's word is one of `words`, or says that it waits."""
        for word in {word for line in proposal["value"] for word in line} - {*self.words, WAITS}:
            raise ValueError(f"cell {word!r}; allowed: {', '.join((*self.words, WAITS))}")
        return proposal["value"]

    @traitlets.observe("cells", "at")
    def _describe(self, change: Any) -> None:
        self.text = " ".join(f"{line}." for line in self.lines)

    @property
    def lines(self) -> list[str]:
        """What stands in the matrix, a line for each row; the chosen cell in brackets."""
        return [f"{name}: " + ", ".join(f"{column} {f'[{word}]' if self.at == [row, at] else word}" for at, (column, word) in enumerate(zip(self.columns, words)))
                for row, (name, words) in enumerate(zip(self.names, self.cells))]

    def rows(self) -> list[Row]:
        """Return a row for each cell, with its word."""
        return [Row("drawing", name, column, value=word, unit="verdict") for name, words in zip(self.names, self.cells)
                for column, word in zip(self.columns, words)]

    def __repr__(self) -> str:
        return f"MatrixView({list(self.names)!r})"
