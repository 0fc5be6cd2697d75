"""Controls of declared parameters: bounds, step, unit and help come from where the parameter is declared.

    declared(DiskParams, "queue_depth", "In flight", high=32)

A lesson may show less than what is allowed, and begin elsewhere; never more.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from vmio.experiments.params import Spec, default, specs
from vmio.lab.controls import Control, choice, log2_slider, slider, toggle


def declared(kind: type, field: str, label: str, value: Any = None, low: int | None = None, high: int | None = None,
             step: int | None = None, choices: Iterable | None = None, name: str | None = None, factor: int = 1,
             none: int | None = None) -> Control:
    """Return the control of `field` of the dataclass `kind`; its value is the declared default unless `value` is given.

    `low`, `high`, `step` and `choices` narrow what the declaration allows.  The model's parameter
    is called `name` if not like the field, has a unit `factor` times as large, and its value
    `none` stands for None.  ValueError for a control that would allow what the declaration does not.
    """
    spec = specs(kind)[field]
    value, name = default(kind, field) // factor if value is None and factor > 1 else value, name or field
    value = default(kind, field) if value is None else value
    if isinstance(value, bool):
        control = toggle(name, value, label)
    elif choices is not None or spec.choices:
        control = choice(name, choices or spec.choices, value, label)
    else:
        first, last = _range(spec, low, high, factor)
        if spec.scale == "log2":
            control = log2_slider(name, first, last, value, label)
        else:
            control = slider(name, first, last, step or spec.multiple, value, label)
    for one in control.values:
        if one != none and not spec.admits(one * factor if factor > 1 else one):
            raise ValueError(f"control {name}: {one!r} is none of what {field} may be, {spec.allowed()}")
    unit = spec.unit if factor == 1 else ""
    return replace(control, help=spec.help + (f", {unit}" if unit else ""), unit=unit, was=spec.was)


def _range(spec: Spec, low: int | None, high: int | None, factor: int) -> tuple[int, int]:
    """Return the control's bounds: the lesson's, or the declared ones; ValueError where there is no end."""
    first = spec.low if low is None else low
    last = spec.high // factor if high is None and spec.high is not None else high
    if first is None or last is None:
        raise ValueError(f"a control needs both ends of its range; declared: {spec.allowed() or 'no bounds'}")
    return first, last
