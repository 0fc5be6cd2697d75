"""A model that counts in parts, for a slider: where it has been, its first part is there again at once, and then its whole.

    @again
    def model(rate, batch):
        yield from run_in_parts(...)        each part with all that was counted before

Both are as they were at the first visit, so that what a panel shows at once never depends on where the slider has been.
"""

from collections.abc import Callable, Hashable, Iterator
from functools import wraps
from typing import Any

MOST = 512          # settings that are remembered; the oldest goes first


def again(model: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Return the model with a memory of the first and the last part of each setting; one that was left early is begun anew."""
    firsts: dict[Hashable, Any] = {}
    lasts: dict[Hashable, Any] = {}

    @wraps(model)
    def remembered(**settings: Any) -> Iterator[Any]:
        key = tuple(sorted(settings.items()))
        known = key in firsts
        if known:
            yield firsts[key]
        if key in lasts:
            yield lasts[key]
            return
        for number, part in enumerate(model(**settings)):
            if number == 0:
                _keep(firsts, key, part)
            if number or not known:
                yield part
        _keep(lasts, key, part)
    return remembered


def _keep(memory: dict[Hashable, Any], key: Hashable, part: Any) -> None:
    memory[key] = part
    if len(memory) > MOST:
        del memory[next(iter(memory))]
