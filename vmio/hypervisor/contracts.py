"""Types that guests, drivers and devices share."""

from collections.abc import Callable, Generator
from typing import Any, TypeAlias, TypeVar

from simpy.events import Event

Result = TypeVar("Result")

Steps: TypeAlias = Generator[Event, Any, Result]        # what waits on the way to its result: `yield from` it
Program: TypeAlias = Callable[..., Steps]               # what a guest runs: a generator function of its vCPU
Span: TypeAlias = Callable[[tuple[int, int]], None]     # is told of (from, until), in ns
