"""Predict first, then count: a guess is stored by its slug and held against the number.

A guess that was never made is a valid, quiet state: a notebook run from top to
bottom without its reader prints the same text every time.
"""

from html import escape

import ipywidgets

from vmio.table import number

_GUESSES = {}  # slug -> number
_STYLE = ("<style>.vmio-prediction{--jp-widgets-font-size:17px} .vmio-prediction .widget-html{margin-right:12px;flex:none}"
          ".vmio-prediction .vmio-error,.vmio-prediction .vmio-stored{font-weight:bold}</style>")
_OPEN = {}  # slug -> the Prediction of that slug in the page


def guess(slug, value):
    """Store a guess in code, as typing it into the box does; None takes it back."""
    if value is None:
        _GUESSES.pop(slug, None)
    else:
        _GUESSES[slug] = parse(value)
    if slug in _OPEN:
        _OPEN[slug]._show()


def parse(text):
    """A typed number: 400, 1,000, 0x200, 2.5, 1e6, 3k.  Raises ValueError with one sentence."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return text
    plain = str(text).strip().lower().replace(",", "").replace("_", "").replace(" ", "")
    factor = 1
    if plain.endswith("k") or plain.endswith("m"):
        factor, plain = (1_000 if plain[-1] == "k" else 1_000_000), plain[:-1]
    for convert in (lambda: int(plain, 0), lambda: int(plain), lambda: float(plain)):
        try:
            value = convert() * factor
        except ValueError:
            continue
        if value == value and abs(value) != float("inf"):
            return int(value) if value == int(value) else value
    raise ValueError(f"{str(text)[:30]!r} is no number; write one such as 400, 1,000 or 2.5.")


def compare(slug, actual, unit=""):
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

    def __init__(self, slug, question, unit=""):
        self.slug, self.question, self.unit = slug, question, unit
        self._box = ipywidgets.Text(placeholder="your guess", description="Your guess", tooltip=question,
                                    style={"description_width": "6em"}, layout={"width": "18em"})
        self._note = ipywidgets.HTML()
        super().__init__([
            ipywidgets.HTML(f'{_STYLE}<div class="vmio-question">{escape(question)}</div>'),
            ipywidgets.HBox([self._box, ipywidgets.HTML(escape(unit)), self._note], layout={"flex_flow": "row wrap"})])
        self.add_class("vmio-prediction")
        previous = _OPEN.pop(slug, None)
        if previous is not None:
            previous.close()
        _OPEN[slug] = self
        self._show()
        self._box.observe(self._typed, "value")

    def __repr__(self):
        return f"Prediction({self.slug!r})"

    @property
    def guess(self):
        """The number that is stored, or None."""
        return _GUESSES.get(self.slug)

    def compare(self, actual):
        """Print guess and count, one line."""
        print(compare(self.slug, actual, self.unit))

    def _show(self):
        if self.guess is not None:
            self._box.value = number(self.guess)

    def _typed(self, change):
        text = change["new"].strip()
        try:
            if text:
                _GUESSES[self.slug] = parse(text)
            else:
                _GUESSES.pop(self.slug, None)
            self._note.value = '<span class="vmio-stored">stored</span>' if text else ""
        except ValueError as error:
            _GUESSES.pop(self.slug, None)
            self._note.value = f'<span class="vmio-error" role="alert">{escape(str(error))}</span>'


def predict(slug, question, unit=""):
    """Ask for a number before it is counted; `slug` names the question for `guess` and `compare`."""
    return Prediction(slug, question, unit)
