"""Who is at the other end of a guest's cable: the rest of a captured conversation."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from vmio.machine.checkpoint import Form, State
from vmio.machine.clock import Clock, Timer, Timers
from vmio.machine.net.cable import CableEnd
from vmio.machine.net.frames import wire_ns

MBIT_PER_S = 100
PEER = Form("peer", 1, "to_say", "said", "arrived", "done_at", "lost")


class Peer:
    """A station that says its part frame after frame, each as long as it has the wire, and `gap_ns` between two.

    `heard(frame)` gets what the guest says; `arrived` is (frame, ns) of each that has come to the guest's card.
    """

    def __init__(self, clock: Clock, end: CableEnd, heard: Callable[[bytes], None], gap_ns: int = 0) -> None:
        self.clock, self.end, self.heard, self.gap_ns = clock, end, heard, gap_ns
        self.arrived: deque[tuple[bytes, int]] = deque()
        self.done_at = 0            # ns: when its last frame has left
        self.lost = 0               # frames of its own that nobody took
        self._to_say: dict[int, tuple[bytes, Timer]] = {}      # by number
        self._said = 0
        end.connect(self)

    def say(self, frames: Sequence[bytes]) -> None:
        """Send frames from now on."""
        at = self.clock.now - self.gap_ns
        for frame in frames:
            at += self.gap_ns + wire_ns(len(frame), MBIT_PER_S)
            self._to_say[self._said] = frame, self.clock.call_at(at, partial(self._send, self._said))
            self._said += 1
        self.done_at = at

    def _send(self, number: int) -> None:
        frame, _ = self._to_say.pop(number)
        self.arrived.append((frame, self.clock.now))     # before it is: a card may interrupt at once
        if not self.end.send(frame):
            self.arrived.pop()
            self.lost += 1

    def waited(self, frame: bytes, now: int) -> int:
        """Return how long ago a frame arrived that is received now, ns; those before it that were not received are forgotten."""
        lost = next((n for n, (one, _) in enumerate(self.arrived) if one == frame), 0)     # (a tag may be gone: then the oldest)
        for _ in range(lost):
            self.arrived.popleft()
        return now - self.arrived.popleft()[1]

    def timers(self) -> Timers:
        """Return when it will send what it still has to say, as (name, timer) pairs."""
        return [(f"frame {number} to be sent", timer) for number, (_, timer) in self._to_say.items()]

    def save(self) -> State:
        """Return what it still has to say, and what of its frames has arrived."""
        return PEER.state(to_say=[[number, frame, timer.when] for number, (frame, timer) in self._to_say.items()], said=self._said,
                          arrived=self.arrived, done_at=self.done_at, lost=self.lost)

    def restore(self, state: State) -> None:
        """Take back what `save` gave, before the clock."""
        saved = PEER.take(state)
        self._to_say = {number: (frame, Timer(when, partial(self._send, number))) for number, frame, when in saved["to_say"]}
        self._said = saved["said"]
        self.arrived = deque((frame, when) for frame, when in saved["arrived"])
        self.done_at, self.lost = saved["done_at"], saved["lost"]

    def receive(self, frame: bytes) -> bool:
        """Hear a frame."""
        self.heard(frame)
        return True

    def link_changed(self, up: bool) -> None:
        """Nobody pulls this cable."""
