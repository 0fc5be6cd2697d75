"""Switching one defence off, for as long as an attack runs: the product has no such switch where it needs none.

    with without(Srb, "_pages", naive_pages): ...

The naive version is what somebody writes who trusts the guest.  It lives beside its
attack, never in the product.
"""

from contextlib import contextmanager

_ABSENT = object()


class Stuck(Exception):
    """The watchdog's: a loop of the host that would not have ended."""


class Watchdog:
    """Counts the steps of a naive loop; `Stuck` after `most` of them."""

    def __init__(self, most=20_000):
        self.most, self.steps = most, 0

    def tick(self):
        """One step."""
        self.steps += 1
        if self.steps > self.most:
            raise Stuck(f"{self.most:,} steps, and no end")


@contextmanager
def without(owner, name, naive):
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
