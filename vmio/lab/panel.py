"""A panel: controls, one call of a model behind them, its numbers and charts below.

    model(**params) -> result         any function; at most 20 ms if a slider drives it; a generator's results are shown one
                                      after the other, the first at once, the others while nobody asks for anything else
    view(result) -> text, [charts]    or text, [charts], {trait: value} for `live`

Words and charts go to the page as data, in one message (`card.py`), and are
drawn there.  There is no Output widget (nbval cannot see into one) and no
queue: ipywidgets 8 keeps one message in flight and one pending.
"""

import asyncio
import gc
import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import isgenerator
from pathlib import Path
from typing import Any, TypeAlias

import anywidget
import ipywidgets

from vmio.lab import panel_text, rows
from vmio.lab.card import Card
from vmio.lab.charts import Chart
from vmio.lab.controls import Control
from vmio.lab.idle import Reasons, sentences
from vmio.machine import files
from vmio.machine.contracts import FileName

# What a view gives: the readout, figures, and what the widget beside them is to show, by trait.
Drawn: TypeAlias = tuple[str, Sequence[Chart | None], dict[str, Any]]
Shown: TypeAlias = tuple[str, Sequence[Chart | None]] | Drawn
_OPEN: dict[str, "Panel"] = {}  # name -> the panel of that name: running its cell again closes it
_STATIC = Path(__file__).parent / "static"
REST = 0.02  # seconds between two results of a generator: what the page asks for goes first


class Dress(anywidget.AnyWidget):
    """A panel's style sheet, names for its controls that a screen reader can say, and where the page rests; it shows nothing itself."""

    _esm = "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in ("rest.js", "panel.js"))
    _css = _STATIC / "panel.css"


def sentence(error: Exception) -> str:
    """An exception in one line: a ValueError speaks for itself, others say their type."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else "no reason given"
    return text if isinstance(error, ValueError) else f"The model stopped ({type(error).__name__}): {text}"


def _leave_modules_alone() -> None:
    """Before the first panel: what modules consist of stays as long as the kernel, so nobody looks through it for what may go.

    Each machine is a ring of objects, and Python looks for rings that nobody uses, now and then, in the middle of a move.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


class Panel(ipywidgets.VBox):
    """The widget itself: end a cell with it.

    `controls` are made by `slider`, `log2_slider`, `choice`, `toggle`; `name`
    tells panels apart (the model's name otherwise); `live` is a widget, such as
    a `MachineView`, that stands beside the readout; `idle(**params)` returns the
    names of the controls that change nothing there, with the reasons (`idle.py`),
    or a generator of them, which is asked when all results are shown.
    """

    def __init__(self, model: Callable[..., Any], controls: list[Control], view: Callable[..., Shown], name: str | None = None,
                 live: Any = None, idle: Callable[..., Reasons | Iterator[Reasons | None]] | None = None) -> None:
        _leave_modules_alone()
        self._run, self._show, self.live, self._idle = model, view, live, idle
        self.controls = {control.name: control for control in controls}
        self.widgets = {control.name: control.widget() for control in controls}
        self.name = str(name or getattr(model, "__name__", "panel"))
        self.card = Card("vmio-" + re.sub(r"\W+", "-", self.name), self.csv)
        self._text, self._readout, self._failed = "", "", False      # with what is said of controls, and without
        self._charts: Sequence[Chart | None] = ()
        self._rest: Iterator[Any] = iter(())
        self._asking: Iterator[Reasons | None] = iter(())      # for which controls change nothing
        row, body = ipywidgets.HBox(list(self.widgets.values())), ipywidgets.Box([*([live] if live is not None else []), self.card])
        row.add_class("vmio-controls")
        body.add_class("vmio-body")
        super().__init__([row, body, Dress()])
        self.add_class("vmio-panel")
        previous = _OPEN.pop(self.name, None)
        if previous is not None:
            previous.close()
        _OPEN[self.name] = self
        for widget in self.widgets.values():
            widget.observe(self._moved, "value")
        self.update()

    def __repr__(self) -> str:
        return f"Panel({', '.join(f'{name}={value!r}' for name, value in self.params.items())})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Return what a cell holds: the panel; where there is none (no kernel, a web page) all it shows in text; in a build a picture."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if not bundle:
            return bundle
        bundle["text/plain"] = f"To see the panel, run the cells from the top down to this one.\n\n{panel_text.describe(self)}"
        if os.environ.get(panel_text.PICTURES) == "1" and (png := panel_text.picture(self)):
            bundle["image/png"] = b64encode(png).decode()
        return bundle

    @property
    def params(self) -> dict[str, Any]:
        """The present value of every control."""
        return {name: widget.value for name, widget in self.widgets.items()}

    def set(self, **values: Any) -> None:
        """Move controls in code, all at once; a wrong name or value is shown in the panel and raised."""
        try:
            for name, value in values.items():
                if name not in self.controls:
                    news = [control.name for control in self.controls.values() if control.was == name]
                    raise ValueError(f"{name} is called {news[0]} now." if news else
                                     f"{name} is no control of this panel; it has {', '.join(self.controls)}.")
                values[name] = self.controls[name].check(value)
        except ValueError as error:
            self._complain(error)
            raise
        for widget in self.widgets.values():
            widget.unobserve(self._moved, "value")
        try:
            for name, value in values.items():
                self.widgets[name].value = value
        finally:
            for widget in self.widgets.values():
                widget.observe(self._moved, "value")
        self.update()

    def update(self, **params: Any) -> None:
        """Run the model with the controls' values (`params` go before them) and show what came out.

        An error is shown as one sentence over what was last shown; with
        VMIO_STRICT=1 in the environment (tests) it is raised as well.
        """
        try:
            for name, value in params.items():
                if name in self.controls:
                    self.controls[name].check(value)
            result = self._run(**{**self.params, **params})
            self._rest, self._asking = result if isgenerator(result) else iter((result,)), iter(())
            self._next()
            self._go_on(self._rest)
        except Exception as error:
            self._complain(error)
            if os.environ.get("VMIO_STRICT") == "1":
                raise

    def finish(self) -> None:
        """Show the last of the results that are still to come, and what is said of the controls."""
        try:
            while self._next():
                pass
        except Exception as error:
            self._complain(error)
            if os.environ.get("VMIO_STRICT") == "1":
                raise

    @property
    def so_far(self) -> tuple[str, Sequence[Chart | None]]:
        """The readout and the charts as the page has them; a sweep may still grow."""
        return self._text, self._charts

    @property
    def text(self) -> str:
        """What the readout says when all is counted."""
        self.finish()
        return self._text

    @property
    def charts(self) -> Sequence[Chart | None]:
        """The charts as plain data, when all is counted; None where one has nothing to show."""
        self.finish()
        return self._charts

    def csv(self) -> str:
        """Return all that the panel shows as CSV text (`vmio.lab.rows`), when all is counted.

        Raises ValueError, with the panel's own sentence, where its last setting has come to no end.
        """
        self.finish()
        if self._failed:
            raise ValueError(f"panel {self.name} shows no run: {self._text}")
        return rows.to_csv(rows.of_panel(self.controls.values(), self.params, self.live, self._charts, self._text))

    def save_csv(self, path: FileName) -> None:
        """Write `csv()` into a new file, whole or not at all; ValueError if something has that name, OSError if it can't be written."""
        files.write_new_text(path, self.csv())

    def _next(self) -> bool:
        """Show the next result, or take a step to what is said of the controls; False if there is none."""
        for result in self._rest:
            text, charts, *traits = self._show(result)
            if traits:
                with self.live.hold_sync():
                    for trait, value in traits[0].items():
                        setattr(self.live, trait, value)
            self._readout, self._charts, self._failed = text, charts, False
            reasons = self._idle(**self.params) if self._idle is not None else {}
            if isinstance(reasons, Mapping):
                self._say(reasons)
            else:
                self._asking = reasons
                known = next(reasons)
                self._say(known or {})
            return True
        for found in self._asking:
            if found:
                self._say(found)
            return True
        return False

    def _say(self, reasons: Reasons) -> None:
        """Show the last result, and why some controls change nothing."""
        notes = sentences({name: control.label for name, control in self.controls.items()}, reasons)
        self._text = "\n\n".join([self._readout, *["\n".join(notes)] * bool(notes)])
        self.card.show(self._readout, self._charts, notes)

    def _go_on(self, rest: Iterator[Any]) -> None:
        """In a kernel, show what is still to come of `rest` while it is idle, unless somebody has moved a control since."""
        def later() -> None:
            try:
                if self._rest is rest and self._next():
                    loop.call_later(REST, later)
            except Exception as error:  # noqa: BLE001 - nobody is there to catch it: the panel says what went wrong
                self._complain(error)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return      # no kernel: `finish` does it
        loop.call_later(REST, later)

    def close(self) -> None:
        """Take the panel and its controls out of the page."""
        if _OPEN.get(getattr(self, "name", "")) is self:
            del _OPEN[self.name]
        self._rest = self._asking = iter(())
        for child in (*self.widgets.values(), *self.children[1].children, *self.children):
            child.close()
        super().close()

    def _moved(self, change: Any) -> None:
        self.update()

    def _complain(self, error: Exception) -> None:
        self._text, self._failed = sentence(error), True
        self._rest = self._asking = iter(())
        self.card.complain(self._text)
