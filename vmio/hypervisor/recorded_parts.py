"""What a recorded program uses beside its CPU's instructions: windows on its pages, the clock, tables of its own."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from vmio.hypervisor.contracts import Cpu
from vmio.hypervisor.recording import TIMER
from vmio.machine.clock import Clock, Timer, Timers
from vmio.machine.contracts import Buffer
from vmio.machine.window import Window


class RecordedWindow:
    """A `Window` of a recorded program.  The pages are looked up when the program runs on after a restore, not before."""

    def __init__(self, recorded: Any, cpu: Cpu, pages: Sequence[int]) -> None:
        self._recorded, self._cpu, self.pages = recorded, cpu, tuple(pages)
        self.size = len(self.pages) * 4096
        self._found = None if recorded.record.again else cpu.window(pages)

    def _window(self) -> Window:
        if self._found is None:
            self._found = self._cpu.window(self.pages)
        return self._found

    def read(self, offset: int, length: int) -> bytes:
        """Return a private copy of `length` bytes."""
        return self._recorded._do("load", lambda at, n: self._window().read(at, n), offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        """Store bytes."""
        return self._recorded._do("store", lambda at, data: self._window().write(at, data), offset, data)

    def load32(self, offset: int) -> int:
        """Return one aligned 32-bit word."""
        return self._recorded._do("load", lambda at: self._window().load32(at), offset)

    def store32(self, offset: int, value: int) -> None:
        """Store one aligned 32-bit word."""
        return self._recorded._do("store", lambda at, value: self._window().store32(at, value), offset, value)

    def indices(self) -> tuple[int, ...]:
        """Return the first four words."""
        return self._recorded._do("load", lambda: self._window().indices())


class RecordedPart:
    """Something of the guest's own that its program uses by these `methods` (plain data in and out), whose answers are kept."""

    def __init__(self, recorded: Any, part: Any, methods: Sequence[str]) -> None:
        for name in methods:
            setattr(self, name, partial(recorded._do, name, getattr(part, name)))


class RecordedClock:
    """A guest's `clock` as its recorded program has it: the time is an answer, and a call at a time comes as an interrupt does."""

    def __init__(self, recorded: Any, clock: Clock) -> None:
        self._recorded, self._clock = recorded, clock
        self._calls: list[Callable[[], None]] = []
        self._live: dict[int, Timer] = {}      # number of the call -> that has not come yet

    @property
    def now(self) -> int:
        """The time, in ns."""
        return self._recorded._do("clock", lambda: self._clock.now)

    def call_later(self, delay: int, callback: Callable[[], None]) -> Timer:
        """Call `callback()` after `delay` ns."""
        record, number = self._recorded.record, len(self._calls)
        record.asked("call", delay)
        self._calls.append(callback)
        if record.again:                # it has come, was cancelled, or is to come as it was to when it was saved
            return self._live.get(number) or Timer(0, None)
        timer = self._live[number] = self._clock.call_later(delay, partial(self._comes, number))
        return timer

    def call_again(self, number: int) -> None:
        """A call came here when the program ran first."""
        self._calls[number]()

    def timers(self) -> Timers:
        """Return what is to come, as (name, timer) pairs."""
        self._live = {number: timer for number, timer in self._live.items() if timer.callback is not None}
        return [(f"vCPU {self._recorded.index}, call {number}", timer) for number, timer in self._live.items()]

    def save(self) -> list[list[int]]:
        """Return [number, when] of what is to come."""
        self.timers()
        return [[number, timer.when] for number, timer in self._live.items()]

    def restore(self, saved: list[list[int]]) -> None:
        """Take back what `save` gave, before the clock."""
        self._live = {number: Timer(when, partial(self._comes, number)) for number, when in saved}

    def _comes(self, number: int) -> None:
        del self._live[number]
        self._recorded.record.note(TIMER, number)
        self._calls[number]()
