"""Who is at the other end of a guest's cable: the rest of a captured conversation."""

from collections.abc import Callable, Sequence

from vmio.machine.clock import Clock
from vmio.machine.net.cable import CableEnd
from vmio.machine.net.frames import wire_ns

MBIT_PER_S = 100


class Peer:
    """A station that says its part frame after frame, each as long as it has the wire; `heard(frame)` gets what the guest says."""

    def __init__(self, clock: Clock, end: CableEnd, heard: Callable[[bytes], None]) -> None:
        self.clock, self.end, self.heard = clock, end, heard
        self.done_at = 0            # ns: when its last frame has left
        self.lost = 0               # frames of its own that nobody took
        end.connect(self)

    def say(self, frames: Sequence[bytes]) -> None:
        """Send frames from now on."""
        at = self.clock.now
        for frame in frames:
            at += wire_ns(len(frame), MBIT_PER_S)
            self.clock.call_at(at, lambda frame=frame: self._send(frame))     # type: ignore[misc]  # one call for each
        self.done_at = at

    def _send(self, frame: bytes) -> None:
        self.lost += not self.end.send(frame)

    def receive(self, frame: bytes) -> bool:
        """Hear a frame."""
        self.heard(frame)
        return True

    def link_changed(self, up: bool) -> None:
        """Nobody pulls this cable."""
