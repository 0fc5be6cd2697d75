"""Controls that change nothing as the others stand: the panel says which, and why, in a line of its own.

    def idle(mode, **others):
        return {"queue_depth": "an ATA disk takes one request at a time"} if mode == "emulated" else {}

    Panel(model, controls, view, idle=idle)

A reason that only runs can know asks `unmoved`, a run a step; the panel shows what was asked for first, and takes the steps
when it has nothing else to do:

    @later
    def idle(**params):
        return {"batch": "no two ever meet"} if (yield from unmoved(model, view, params, "batch", (1, 8))) else {}
"""

from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping
from functools import wraps
from inspect import isgenerator
from typing import Any, TypeAlias

Reasons: TypeAlias = Mapping[str, str]                          # {name of a control: why it changes nothing}
Asking: TypeAlias = Generator[None, None, dict[str, str]]       # a step for each run, and then the reasons


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


def later(ask: Callable[..., Asking]) -> Callable[..., Iterator[Reasons | None]]:
    """Return the `idle` of a panel that asks runs: at each setting it gives None for a step, and last the reasons; at once where it has been."""
    known: dict[Hashable, Reasons] = {}

    @wraps(ask)
    def asked(**params: object) -> Iterator[Reasons | None]:
        key = tuple(sorted(params.items()))
        if key not in known:
            yield None
            known[key] = yield from ask(**params)
        yield known[key]
    return asked


def unmoved(model: Callable[..., object], view: Callable[..., Any], params: Mapping[str, object], name: str,
            values: Iterable[object]) -> Generator[None, None, bool]:
    """Return whether a panel's charts and drawing are the same for all of `values` of one control, a chart's mark left out; a step a run."""
    first = None
    for value in values:
        answer = model(**{**params, name: value})
        if isgenerator(answer):
            raise ValueError(f"{name}: a sweep is too long to ask whether a control moves it.")
        _, charts, *traits = view(answer)
        drawn = ([chart and {**chart, "at": None} for chart in charts], traits)
        if first is None:
            first = drawn
        elif drawn != first:
            return False
        yield
    return True


def still(model: Callable[..., object], view: Callable[..., Any], params: Mapping[str, object], asked: Mapping[str, tuple[Iterable[object], str]]) -> Asking:
    """Return the reasons of those controls that are `unmoved`, of {name: (values, why)}; a step a run."""
    reasons = {}
    for name, (values, why) in asked.items():
        if (yield from unmoved(model, view, params, name, values)):
            reasons[name] = why
    return reasons
