"""What a panel can be asked: sliders and choices as plain data, with their limits.

A control knows its name (the model's parameter), the words beside it and the
values it allows.  `check(value)` is the one door for a value, whether it comes
from a mouse, a key or code.
"""

from dataclasses import dataclass, field
from collections.abc import Iterable
from typing import Any

import ipywidgets

_WIDE = {"description_width": "initial"}  # how wide a control is: static/panel.css


@dataclass(frozen=True)
class Control:
    """One parameter: `kind` is "slider", "log2", "choice" or "toggle"; `values` are all that are allowed."""

    kind: str
    name: str
    label: str
    values: tuple = field(repr=False)
    value: object = None
    help: str = ""       # what it is, in a sentence: shown where the pointer rests
    unit: str = ""       # of its value, where a label doesn't say it
    was: str = ""        # its name before

    def __post_init__(self) -> None:
        self.check(self.value)

    def check(self, value: Any) -> Any:
        """Return the allowed value equal to `value`; raises ValueError naming parameter, value and range."""
        for allowed in self.values:
            if allowed == value and isinstance(allowed, bool) == isinstance(value, bool):
                return allowed
        raise ValueError(f"{self.name} is {value!r}; allowed: {self.allowed()}.")

    def allowed(self) -> str:
        """The range in words."""
        values = self.values
        if self.kind == "slider" and len(values) > 1:
            return f"{values[0]:,} to {values[-1]:,} in steps of {values[1] - values[0]:,}"
        if self.kind == "log2":
            return f"powers of two from {values[0]:,} to {values[-1]:,}"
        return ", ".join(repr(value) for value in values)

    def widget(self) -> Any:
        """A fresh widget for it; every kind can be reached and moved with the keyboard alone."""
        common = {"description": self.label, "tooltip": self.help or self.label, "style": _WIDE}
        if self.kind == "slider":
            kind = ipywidgets.FloatSlider if isinstance(self.values[0], float) else ipywidgets.IntSlider
            step = self.values[1] - self.values[0] if len(self.values) > 1 else 1
            return kind(value=self.value, min=self.values[0], max=self.values[-1], step=step, **common)
        if self.kind == "log2":
            options = [(f"{value:,}", value) for value in self.values]
            return ipywidgets.SelectionSlider(options=options, value=self.value, **common)
        if self.kind == "toggle":
            return ipywidgets.Checkbox(value=self.value, indent=True, **common)
        options = [(str(value), value) for value in self.values]
        if len(options) > 4:
            return ipywidgets.Dropdown(options=options, value=self.value, **common)
        common["style"] = {**_WIDE, "button_width": "auto"}
        return ipywidgets.ToggleButtons(options=options, value=self.value, **common)


def slider(name: str, low: Any, high: Any, step: Any, value: Any, label: str | None = None) -> Control:
    """A number from `low` to `high` (inclusive) in steps of `step`; whole numbers unless one of them is a float."""
    if step <= 0 or high < low:
        raise ValueError(f"{name}: from {low} to {high} in steps of {step} is no range")
    count = int((high - low) / step + 1e-9) + 1
    if any(isinstance(part, float) for part in (low, high, step)):
        values = tuple(round(float(low + index * step), 10) for index in range(count))
        return Control("slider", name, label or name, values, round(float(value), 10))
    return Control("slider", name, label or name, tuple(range(low, low + count * step, step)), value)


def log2_slider(name: str, low: int, high: int, value: int, label: str | None = None) -> Control:
    """A power of two from `low` to `high`, both powers of two."""
    if low < 1 or high < low or low & (low - 1) or high & (high - 1):
        raise ValueError(f"{name}: {low} and {high} must be powers of two in order")
    values = tuple(1 << bits for bits in range(low.bit_length() - 1, high.bit_length()))
    return Control("log2", name, label or name, values, value)


def choice(name: str, values: Iterable[Any], value: Any = None, label: str | None = None) -> Control:
    """One of `values` (the first unless `value` says otherwise): buttons up to four, a list above."""
    values = tuple(values)
    return Control("choice", name, label or name, values, values[0] if value is None else value)


def toggle(name: str, value: bool = False, label: str | None = None) -> Control:
    """Yes or no."""
    return Control("toggle", name, label or name, (False, True), bool(value))
