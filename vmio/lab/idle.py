"""Controls that change nothing as the others stand: the panel says which, and why, in a line of its own.

    def idle(mode, **others):
        return {"queue_depth": "an ATA disk takes one request at a time"} if mode == "emulated" else {}

    Panel(model, controls, view, idle=idle)

A reason that only a run can know asks `unmoved`.
"""

from collections.abc import Callable, Iterable, Mapping
from inspect import isgenerator
from typing import Any


def sentences(labels: Mapping[str, str], reasons: Mapping[str, str]) -> list[str]:
    """Return what is said of controls that change nothing, a sentence for each reason; `labels` {name: label}, `reasons` {name: why}.

    Raises ValueError for a name that is no control's.
    """
    found: dict[str, list[str]] = {}
    for name, why in reasons.items():
        if name not in labels:
            raise ValueError(f"{name} is no control of this panel; it has {', '.join(labels)}.")
        found.setdefault(why, []).append(f'"{labels[name]}"')
    return [f"{' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))} change{'' if names[1:] else 's'} nothing here: {why}."
            for why, names in found.items()]


def unmoved(model: Callable[..., Any], view: Callable[..., Any], params: Mapping[str, Any], name: str, values: Iterable[Any]) -> bool:
    """Return whether a panel's charts and drawing are the same for all of `values` of one control, a chart's mark left out."""
    drawn = []
    for value in values:
        answer = model(**{**params, name: value})
        if isgenerator(answer):
            raise ValueError(f"{name}: a sweep is too long to ask whether a control moves it.")
        _, charts, *traits = view(answer)
        drawn.append(([chart and {**chart, "at": None} for chart in charts], traits))
        if drawn[-1] != drawn[0]:
            return False
    return True
