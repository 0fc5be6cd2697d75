"""A limit on bandwidth: frames go on one after the other, each as long as its bytes take at that rate; few may wait, more are lost."""

from collections import deque
from collections.abc import Callable
from typing import Any

from simpy.events import Event

from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.simulation import Simulation
from vmio.machine.checkpoint import Form, State
from vmio.machine.net import frames

PACE = Form("pace of a port", 1, "free_at", "waiting", "alarms")
MAX_MBIT = 400_000


class Pace:
    """Calls `go_on(*item)` for each item that was put, at most `mbit_per_s`; up to `depth` wait.  An item's last part is its frame."""

    def __init__(self, env: Simulation, mbit_per_s: int, go_on: Callable[..., object], depth: int = 256) -> None:
        if not 1 <= mbit_per_s <= MAX_MBIT:
            raise ValueError(f"mbit_per_s {mbit_per_s}: 1 to {MAX_MBIT:,}")
        self.env, self.mbit_per_s, self.depth, self._go_on = env, mbit_per_s, depth, go_on
        self.waiting: deque[tuple] = deque()
        self._free_at = 0          # in ns: when the last frame will have gone

    def put(self, *item: object) -> bool:
        """Go on with it now or later; False: too many wait already."""
        if self.waiting or self.env.now < self._free_at:
            if len(self.waiting) >= self.depth:
                return False
            self.waiting.append(item)
            if len(self.waiting) == 1:
                self._wait()
            return True
        self._send(item)
        return True

    def _send(self, item: tuple) -> None:
        self._free_at = self.env.now + frames.wire_ns(len(item[-1]), self.mbit_per_s)
        self._go_on(*item)

    def _wait(self) -> None:
        callbacks: Any = self.env.timeout(self._free_at - self.env.now).callbacks
        callbacks.append(self._next)

    def _next(self, _event: Event) -> None:
        self._send(self.waiting.popleft())
        if self.waiting:
            self._wait()

    def save(self, saving: Saving) -> State:
        """Return what waits, and until when."""
        return PACE.state(free_at=self._free_at, waiting=self.waiting, alarms=saving.calls(self._next))

    def restore(self, state: State, restoring: Restoring) -> None:
        """Take it back."""
        saved = PACE.take(state)
        self._free_at = saved["free_at"]
        self.waiting = deque(tuple(item) for item in saved["waiting"])
        for at in saved["alarms"]:
            restoring.call(at, self._next)
