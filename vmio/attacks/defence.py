"""Switching one defence off, for as long as an attack runs: the product has no such switch where it needs none.

    with without(Srb, "_pages", naive_pages): ...

The naive version is what somebody writes who trusts the guest.  It lives beside its
attack, never in the product.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ABSENT = object()


class Stuck(Exception):
    """The watchdog's: a loop of the host that would not have ended."""


class Watchdog:
    """Counts the steps of a naive loop; `Stuck` after `max_steps` of them."""

    def __init__(self, max_steps: int = 20_000) -> None:
        self.max_steps, self.steps = max_steps, 0

    def tick(self) -> None:
        """One step."""
        self.steps += 1
        if self.steps > self.max_steps:
            raise Stuck(f"{self.max_steps:,} steps, and no end")


@contextmanager
def without(owner: Any, name: str, naive: Any) -> Iterator[Any]:
    """Replace one check, attribute `name` of a class, module or object, by a naive version; gives the real one."""
    real, own = getattr(owner, name), vars(owner).get(name, _ABSENT)
    setattr(owner, name, naive)
    try:
        yield real
    finally:
        if own is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, own)
