"""Published results, and what the model says in their place: each module runs one of them.

    from vmio.experiments import papers
    print(papers.run("exit ladder").table())

The model's figure comes out of a running simulation, with the parameters that
the paper's machine had; a figure that set a parameter is marked "fit", and only
those marked "test" say something about the model.
"""

from functools import cache

from vmio.experiments.papers import (
    accesses,
    backends,
    doorbell,
    exit_ladder,
    exitless,
    mapping,
    polling,
    shares,
    suppression,
)
from vmio.experiments.papers.result import Result

ALL = {
    "exit ladder": exit_ladder.run,
    "doorbell": doorbell.run,
    "suppression": suppression.run,
    "interrupt or poll": polling.run,
    "DMA mapping": mapping.run,
    "backends": backends.run,
    "exitless": exitless.run,
    "register accesses": accesses.run,
    "shares": shares.run,
}


@cache
def run(name: str) -> Result:
    """Return the `Result` of one of `ALL`; ValueError for another name."""
    if name not in ALL:
        raise ValueError(f"paper {name!r}: choose one of {', '.join(ALL)}")
    return ALL[name]()
