"""Predictions with numbers of a student's own, so that a neighbour's answer is another one.

A lesson's `predictions.py` says for each of its predictions which numbers vary and how the machine counts the answer:

    OWN = {"slug": Own("{reads} reads of 4 KiB: how many exits?", {"reads": range(3, 60)}, lambda reads: run(reads).exits_total)}

There is no table of answers: `Asked.answer` runs the machine with the student's numbers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from vmio import data, seed


@dataclass(frozen=True)
class Own:
    """A question with holes, the values that each of its numbers may have, and what counts the answer from them."""

    question: str
    numbers: Mapping[str, Sequence[int]]
    count: Callable[..., float]


@dataclass(frozen=True)
class Asked:
    """A student's question; `numbers` are those of the seed."""

    slug: str
    seed: int
    numbers: dict[str, int]
    own: Own

    @property
    def question(self) -> str:
        """The question in words, with the student's numbers."""
        return self.own.question.format(**self.numbers)

    def answer(self) -> float:
        """Return what the machine counts with these numbers."""
        return self.own.count(**self.numbers)


def asked(slug: str) -> Asked | None:
    """Return the question that the present seed asks; None with seed 0, or where a prediction has no numbers to vary."""
    if seed.current() == seed.DEFAULT:
        return None
    own = all_own().get(slug)
    if own is None:
        return None
    random = seed.seeded(slug)
    return Asked(slug, seed.current(), {name: random.choice(values) for name, values in own.numbers.items()}, own)


def all_own() -> dict[str, Own]:
    """Return every prediction that has numbers of one's own, by its slug, in the order of the lessons' folders."""
    return {slug: own for module in _modules() for slug, own in module.items()}


def _modules() -> Iterator[Mapping[str, Own]]:
    """What each lesson declares; lessons are found as files, like their exercises, so that the kit needs to know none."""
    for path in sorted(data.LESSONS.glob("*/predictions.py")):
        name = f"vmio.lessons.{path.parent.name}.predictions"
        yield import_module(name).OWN
