"""A panel's card in the page: what it says in words, its charts, and their numbers as tables.

One trait, `shown`, holds all of it as one JSON text: a move is one message, and
the kernel spends no time on pictures.  `static/charts.js` draws.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import anywidget
import traitlets

from vmio.lab.charts import Chart, sentence

_STATIC = Path(__file__).parent / "static"


class Card(anywidget.AnyWidget):
    """`show` says what it holds; `name` is the id of its words in the page, at which each chart points; `csv()` makes a file of all of it."""

    _esm = "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in ("charts.js", "card.js"))

    shown = traitlets.Unicode().tag(sync=True)

    def __init__(self, name: str, csv: Callable[[], str]) -> None:
        self._name, self._lines, self._columns, self._csv = name, 1, 1, csv
        self._good: dict[str, object] = {"text": "", "notes": "", "charts": []}
        super().__init__(shown=self._json(""))
        self.on_msg(self._asked)

    def _asked(self, _: object, content: object, buffers: object) -> None:
        """Answer the page, which wants a file of what is shown; what can't be counted to its end has already been said in the card."""
        match content:
            case {"want": "csv", "by": str(who)}:
                with suppress(Exception):
                    self.send({"csv": self._csv(), "name": f"{self._name}.csv", "by": who})

    def show(self, text: str, charts: Sequence[Chart | None], notes: Sequence[str] = ()) -> None:
        """Show these words and charts, and `notes` on the controls; for None a place stays empty.  What words take of the page never shrinks."""
        lines = text.splitlines() or [""]
        self._lines, self._columns = max(self._lines, len(lines)), max(self._columns, *map(len, lines))
        self._good = {"text": text, "notes": " ".join(notes), "charts": [chart and {**chart, "words": sentence(chart)} for chart in charts]}
        self.shown = self._json("")

    def complain(self, sentence: str) -> None:
        """Show a sentence over what was last shown."""
        self.shown = self._json(sentence)

    def _json(self, error: str) -> str:
        return json.dumps({**self._good, "error": error, "id": self._name, "lines": self._lines, "columns": self._columns})
