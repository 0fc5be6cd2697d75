"""A cable between two stations: what one sends, the other gets, while the link is up."""

from collections.abc import Callable
from dataclasses import dataclass

from vmio.machine.checkpoint import Form, State
from vmio.machine.net import frames
from vmio.machine.net.contracts import Station

CABLE = Form("cable", 1, "up", "ends")


@dataclass
class Counters:
    """What one end has sent: frames and bytes that arrived, and those that were lost."""

    frames: int = 0
    bytes: int = 0
    lost: int = 0


class CableEnd:
    """One end, a `NetPort`: plug a station in, and send."""

    def __init__(self, cable: "Cable", number: int) -> None:
        self.cable, self.number = cable, number
        self.station: Station | None = None
        self.sent = Counters()

    @property
    def up(self) -> bool:
        """Whether there is a link."""
        return self.cable.up

    def connect(self, station: Station | None) -> None:
        """What arrives goes to `station` from now on, or, None, to nobody.  ValueError: another one is plugged in."""
        if station is not None and self.station is not None and station is not self.station:
            raise ValueError(f"cable end {self.number}: {type(self.station).__name__} is plugged in; only one station is at an end")
        self.station = station

    def send(self, frame: bytes) -> bool:
        """Give a frame to the station at the other end; False, and counted as lost: no link, nobody there, no place for it."""
        frames.check(frame)
        other = self.cable.ends[1 - self.number].station
        arrived = self.up and other is not None and other.receive(frame)
        if arrived:
            self.sent.frames += 1
            self.sent.bytes += len(frame)
        else:
            self.sent.lost += 1
        if self.cable.passed is not None:
            self.cable.passed(self.number, frame, arrived)
        return arrived


class Cable:
    """Two `ends`; `link(up)` pulls it out and plugs it in again."""

    POINTS = {"passed": "(end that sent, frame, did it arrive) after each frame"}
    passed: Callable[[int, bytes, bool], None] | None = None

    def __init__(self) -> None:
        self.up = True
        self.ends = CableEnd(self, 0), CableEnd(self, 1)

    def link(self, up: bool) -> None:
        """Bring the link up or down; both stations are told, if it has changed."""
        if up != self.up:
            self.up = up
            for end in self.ends:
                if end.station is not None:
                    end.station.link_changed(up)

    def save(self) -> State:
        """Return the link and the counts; the stations save themselves."""
        return CABLE.state(up=self.up, ends=[[end.sent.frames, end.sent.bytes, end.sent.lost] for end in self.ends])

    def restore(self, state: State) -> None:
        """Take back what `save` gave; nobody is told."""
        saved = CABLE.take(state)
        self.up = saved["up"]
        for end, counts in zip(self.ends, saved["ends"], strict=True):
            end.sent = Counters(*counts)
