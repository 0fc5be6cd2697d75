"""Who is at the other end of a guest's cable: the rest of a captured conversation."""

from collections import deque
from collections.abc import Callable, Sequence

from vmio.machine.clock import Clock
from vmio.machine.net.cable import CableEnd
from vmio.machine.net.frames import wire_ns

MBIT_PER_S = 100


class Peer:
    """A station that says its part frame after frame, each as long as it has the wire, and `gap_ns` between two.

    `heard(frame)` gets what the guest says; `arrived` is (frame, ns) of each that has come to the guest's card.
    """

    def __init__(self, clock: Clock, end: CableEnd, heard: Callable[[bytes], None], gap_ns: int = 0) -> None:
        self.clock, self.end, self.heard, self.gap_ns = clock, end, heard, gap_ns
        self.arrived: deque[tuple[bytes, int]] = deque()
        self.done_at = 0            # ns: when its last frame has left
        self.lost = 0               # frames of its own that nobody took
        end.connect(self)

    def say(self, frames: Sequence[bytes]) -> None:
        """Send frames from now on."""
        at = self.clock.now - self.gap_ns
        for frame in frames:
            at += self.gap_ns + wire_ns(len(frame), MBIT_PER_S)
            self.clock.call_at(at, lambda frame=frame: self._send(frame))     # type: ignore[misc]  # one call for each
        self.done_at = at

    def _send(self, frame: bytes) -> None:
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

    def receive(self, frame: bytes) -> bool:
        """Hear a frame."""
        self.heard(frame)
        return True

    def link_changed(self, up: bool) -> None:
        """Nobody pulls this cable."""
