"""Predict first, then count: a guess is stored by its slug and held against the number.

A guess that was never made is a valid, quiet state: a notebook run from top to
bottom without its reader prints the same text every time.  In a student's own
copy a guess outlives the kernel (`vmio.lab.guesses`), and the question may have
numbers of the student's own (`vmio.lab.asked`).
"""

from html import escape
from typing import Any

import ipywidgets

from vmio.lab.guesses import Guesses, parse
from vmio.lab.asked import asked
from vmio.lab.difference import shown
from vmio.table import number

_GUESSES = Guesses()
_STYLE = ("<style>.vmio-prediction{--jp-widgets-font-size:17px} .vmio-prediction .widget-html{margin-right:12px;flex:none}"
          ".vmio-prediction .vmio-error,.vmio-prediction .vmio-stored{font-weight:bold}</style>")
WINDOWS = 2     # in so many browser windows a question may stand: Run All in one must not empty the other
_OPEN: dict[str, list["Prediction"]] = {}   # slug -> the Predictions of that slug in the pages, the newest last


def guess(slug: str, value: float | str | None) -> None:
    """Store a guess in code, as typing it into the box does; None takes it back.  Raises ValueError for what is no number or no name."""
    if not isinstance(slug, str):
        raise ValueError(f"slug is {shown(slug)}; it must be the name of a question, such as 'first-guess'.")
    if value is None:
        _GUESSES.pop(slug, None)
    else:
        _GUESSES[slug] = parse(value)
    for one in _OPEN.get(slug, ()):
        one._show()


def compare(slug: str, actual: float, unit: str = "") -> str:
    """Guess beside count in one line of text, or the count alone when nothing was guessed."""
    counted = f"{number(actual)} {unit}".strip()
    if slug not in _GUESSES:
        return f"{slug}: counted {counted}; no guess was stored."
    guessed = _GUESSES[slug]
    line = f"{slug}: guessed {number(guessed)}, counted {counted}"
    if guessed == actual:
        return f"{line}: exactly right."
    if actual == 0:
        return f"{line}: too high."
    percent = (guessed - actual) * 100 / abs(actual)
    size = number(round(abs(percent), 1 if abs(percent) < 10 else None)) if abs(percent) >= 0.05 else "less than 0.1"
    return f"{line}: {size} % too {'high' if percent > 0 else 'low'}."


class Prediction(ipywidgets.VBox):
    """The question with its box: end a cell with it, then print `compare` below."""

    def __init__(self, slug: str, question: str, unit: str = "") -> None:
        self.slug, self.unit, self.own = slug, unit, asked(slug)
        self.question = question = f"With your own numbers: {self.own.question}" if self.own else question
        self._box = ipywidgets.Text(placeholder="your guess", description="Your guess", tooltip=question,
                                    style={"description_width": "6em"}, layout={"width": "18em"})
        self._note = ipywidgets.HTML()
        super().__init__([
            ipywidgets.HTML(f'{_STYLE}<div class="vmio-question">{escape(question)}</div>'),
            ipywidgets.HBox([self._box, ipywidgets.HTML(escape(unit)), self._note], layout={"flex_flow": "row wrap"})])
        self.add_class("vmio-prediction")
        there = _OPEN.setdefault(slug, [])
        there.append(self)
        for older in there[:-WINDOWS]:
            older.close()
        del there[:-WINDOWS]
        self._show()
        self._box.observe(self._typed, "value")

    def __repr__(self) -> str:
        return f"Prediction({self.slug!r})"

    @property
    def guess(self) -> float | None:
        """The number that is stored, or None."""
        return _GUESSES.get(self.slug)

    def compare(self, actual: float) -> None:
        """Print guess and count, one line; where the numbers are the student's own, what they count, and `actual` below it."""
        if self.own is None:
            print(compare(self.slug, actual, self.unit))
        else:
            print(f"{compare(self.slug, self.own.answer(), self.unit)} (with your own numbers)")
            print(f"With the lesson's numbers: {number(actual)} {self.unit}".rstrip() + ".")

    def _show(self) -> None:
        if self.guess is not None:
            self._box.value = number(self.guess)

    def _typed(self, change: Any) -> None:
        text = change["new"].strip()
        try:
            if text:
                _GUESSES[self.slug] = parse(text)
            else:
                _GUESSES.pop(self.slug, None)
            where = f"; only until the kernel ends ({escape(_GUESSES.unkept)})" if _GUESSES.unkept else ""
            self._note.value = f'<span class="vmio-stored">stored: {number(self.guess)}{where}</span>' if text else ""
        except ValueError as error:
            _GUESSES.pop(self.slug, None)
            self._note.value = f'<span class="vmio-error" role="alert">{escape(str(error))}</span>'


def predict(slug: str, question: str, unit: str = "") -> Prediction:
    """Ask for a number before it is counted; `slug` names the question for `guess` and `compare`."""
    return Prediction(slug, question, unit)
