"""A student's seed: the number that decides which numbers a student's questions and checks have.

Seed 0 means the lessons' own numbers, which the stored notebooks have.  Any other
gives numbers that a neighbour does not have; equal seeds give equal numbers on
every machine.  lab.py makes a seed of a student's name and hands it to the
kernels in `VMIO_SEED`; the first floor imports only the standard library, so
that lab.py can do so before anything is installed.
"""

import hashlib
import os
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from random import Random

VARIABLE = "VMIO_SEED"
DEFAULT = 0
LARGEST = 2**32 - 1
LONGEST = 80            # characters of a name
_held: ContextVar[int | None] = ContextVar("held", default=None)


def plain(name: str) -> str:
    """Return a student's name as names are compared: without case, and with one space between its words."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def of(name: str) -> int:
    """Return the seed of a student's name, never 0; raises ValueError for what is no name."""
    words = plain(name)
    if not any(letter.isalnum() for letter in words) or len(words) > LONGEST or not words.isprintable():
        raise ValueError(f"the student's name is {name[:LONGEST]!r}; it needs a letter or a digit, and at most {LONGEST} characters")
    return int.from_bytes(hashlib.sha256(words.encode("utf-8", "surrogatepass")).digest()[:4], "big") % LARGEST + 1


def read(value: object, what: str = VARIABLE) -> int:
    """Return a seed as a number; raises ValueError that names `what`, the value and what is allowed."""
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= LARGEST):
        raise ValueError(f"{what} is {text[:30]!r}; a seed is a whole number from 0, the lessons' own numbers, to {LARGEST:,}.")
    return int(text)


def current() -> int:
    """Return the seed that holds now: that of `held`, else that of the environment, else 0; ValueError for nonsense there."""
    held_now = _held.get()
    return held_now if held_now is not None else read(os.environ.get(VARIABLE) or DEFAULT)


@contextmanager
def held(seed: int) -> Iterator[None]:
    """Within this block `seed` holds, whatever the environment says."""
    token = _held.set(seed)
    try:
        yield
    finally:
        _held.reset(token)


def seeded(purpose: int | str) -> Random:
    """Return random numbers for one purpose: those of `Random(purpose)` for seed 0, a student's own for any other seed."""
    seed = current()
    return Random(purpose if seed == DEFAULT else f"{seed} {purpose}")


def varied(purpose: str, usual: Sequence[int], among: Sequence[int]) -> tuple[int, ...]:
    """Return the `usual` values with seed 0, and with a student's seed as many others out of `among`."""
    return tuple(usual) if current() == DEFAULT else tuple(seeded(purpose).sample(among, len(usual)))
