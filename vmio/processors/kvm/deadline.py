"""A guest may loop for ever without an exit: only a signal gets the host's thread back out of it.

KVM_RUN returns EINTR when a signal is pending.  A signal that arrives between
our last look and the call would be lost, so the timer repeats, and
`immediate_exit` turns a guest back that exits all the time (api.rst, 5).
"""

import mmap
import signal
import threading
import time
from types import FrameType
from typing import Self

from vmio.processors.kvm import api

_AGAIN_S = 0.01


class Deadline:
    """`with Deadline(seconds, run_area) as deadline`: SIGALRM when the time is up, `expired` set."""

    def __init__(self, seconds: float, run_area: mmap.mmap) -> None:
        if not seconds > 0:
            raise ValueError(f"a deadline of {seconds} s: it must be above 0")
        self.seconds, self.run_area, self.expired = seconds, run_area, False

    def _ring(self, signum: int, frame: FrameType | None) -> None:
        self.expired = True
        self.run_area[api.RUN_IMMEDIATE_EXIT] = 1

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a vCPU runs in the main thread: Python handles signals there and nowhere else")
        self.handler = signal.signal(signal.SIGALRM, self._ring)
        self.start = time.monotonic()
        self.timer = signal.setitimer(signal.ITIMER_REAL, self.seconds, _AGAIN_S)
        return self

    def __exit__(self, *error: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.handler)
        self.run_area[api.RUN_IMMEDIATE_EXIT] = 0
        left, interval = self.timer
        if left:                          # someone else's alarm: what is left of it, but never 0, which is "off"
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - self.start), 0.001), interval)
