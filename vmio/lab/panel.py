"""A panel: controls, one call of a model behind them, its numbers and pictures below.

    model(**params) -> result          any function; at most 20 ms if a slider drives it
    view(result) -> text, [figures]    or text, [figures], {trait: value} for `live`

The readout is one HTML widget whose value is set as a whole, so a move is one
message and nothing flickers.  There is no Output widget (nbval cannot see into
one) and no queue: ipywidgets 8 keeps one message in flight and one pending.
The readout never shrinks, so the page below it does not jump.
"""

import os
import re
from html import escape
from pathlib import Path

import anywidget
import ipywidgets

from vmio.lab.figures import KeptFigure
from vmio.lab.style import svg

_OPEN = {}  # name -> the panel of that name: running its cell again closes it
_STATIC = Path(__file__).parent / "static"


class Dress(anywidget.AnyWidget):
    """A panel's style sheet, and names for its controls that a screen reader can say; it shows nothing itself."""

    _esm = _STATIC / "panel.js"
    _css = _STATIC / "panel.css"


def sentence(error):
    """An exception in one line: a ValueError speaks for itself, others say their type."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else "no reason given"
    return text if isinstance(error, ValueError) else f"The model stopped ({type(error).__name__}): {text}"


class Panel(ipywidgets.VBox):
    """The widget itself: end a cell with it.

    `controls` are made by `slider`, `log2_slider`, `choice`, `toggle`; `name`
    tells panels apart (the model's name otherwise); `live` is a widget, such as
    a `MachineView`, that stands between controls and readout.
    """

    def __init__(self, model, controls, view, name=None, live=None):
        self._run, self._show, self._live = model, view, live
        self._controls = {control.name: control for control in controls}
        self._widgets = {control.name: control.widget() for control in controls}
        self._readout = ipywidgets.HTML(layout={"width": "100%"})
        self._good, self._lines, self._columns = "", 1, 1
        self.text = ""
        self.result = None
        self.figures = []
        row = ipywidgets.HBox(list(self._widgets.values()))
        row.add_class("vmio-controls")
        super().__init__([row, *([live] if live is not None else []), self._readout, Dress()])
        self.add_class("vmio-panel")
        self.name = name or getattr(model, "__name__", "panel")
        self._id = "vmio-" + re.sub(r"\W+", "-", self.name)
        previous = _OPEN.pop(self.name, None)
        if previous is not None:
            previous.close()
        _OPEN[self.name] = self
        for widget in self._widgets.values():
            widget.observe(self._moved, "value")
        self.update()

    def __repr__(self):
        return f"Panel({', '.join(f'{name}={value!r}' for name, value in self.params.items())})"

    @property
    def params(self):
        """The present value of every control."""
        return {name: widget.value for name, widget in self._widgets.items()}

    def set(self, **values):
        """Move controls in code, all at once; a wrong name or value is shown in the panel and raised."""
        try:
            for name, value in values.items():
                if name not in self._controls:
                    raise ValueError(f"{name} is no control of this panel; it has {', '.join(self._controls)}.")
                values[name] = self._controls[name].check(value)
        except ValueError as error:
            self._complain(error)
            raise
        for widget in self._widgets.values():
            widget.unobserve(self._moved, "value")
        try:
            for name, value in values.items():
                self._widgets[name].value = value
        finally:
            for widget in self._widgets.values():
                widget.observe(self._moved, "value")
        self.update()

    def update(self, **params):
        """Run the model with the controls' values (`params` go before them) and show what came out.

        An error is shown as one sentence over the last good picture; with
        VMIO_STRICT=1 in the environment (tests) it is raised as well.
        """
        try:
            for name, value in params.items():
                if name in self._controls:
                    self._controls[name].check(value)
            self.result = self._run(**{**self.params, **params})
            text, figures, *traits = self._show(self.result)
            good = self._picture(text, figures)
            if traits:
                with self._live.hold_sync():
                    for trait, value in traits[0].items():
                        setattr(self._live, trait, value)
        except Exception as error:
            self._complain(error)
            if os.environ.get("VMIO_STRICT") == "1":
                raise
        else:
            self.text, self._good, self.figures = text, good, figures
            self._readout.value = good

    def close(self):
        """Take the panel and its controls out of the page."""
        if _OPEN.get(getattr(self, "name", None)) is self:
            del _OPEN[self.name]
        for child in (*self._widgets.values(), *self.children):
            child.close()
        super().close()

    def _moved(self, change):
        self.update()

    def _picture(self, text, figures):
        lines = text.splitlines() or [""]
        self._lines = max(self._lines, len(lines))
        self._columns = max(self._columns, *map(len, lines))
        size = f"min-height:{self._lines * 1.35:.2f}em;min-width:{self._columns}ch"
        pictures = "".join(figure.svg() if isinstance(figure, KeptFigure) else svg(figure) for figure in figures)
        # The readout is what the pictures say in words; each points at it.
        pictures = pictures.replace('<svg role="img"', f'<svg role="img" aria-describedby="{self._id}"')
        return (f'<div class="vmio-card"><pre class="vmio-readout" id="{self._id}" style="{size}">{escape(text)}</pre>'
                + (f'<div class="vmio-figures">{pictures}</div>' if pictures else "") + "</div>")

    def _complain(self, error):
        self.text = sentence(error)
        self._readout.value = (f'<div class="vmio-failed"><div class="vmio-error" role="alert">{escape(self.text)}</div>'
                               f'<div class="vmio-last">{self._good}</div></div>')
