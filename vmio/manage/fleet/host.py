"""A host of a fleet: what it has promised, and to whom."""

from collections import Counter
from collections.abc import Sequence

from vmio.manage.fleet.guests import KINDS, FleetGuest
from vmio.manage.fleet.service import Curve

MEMORY_GIB = 192


class FleetHost:
    """A host of `MEMORY_GIB` in a rack, a fault domain: what fails with its switch or its power.

    `peak` are the reads a second that its guests of each kind ask for at their peaks, `squares` the sums of their squares: with these
    a day goes by without a look at each guest.  `open`: it takes guests.
    """

    def __init__(self, number: int, rack: int) -> None:
        self.number, self.rack, self.open = number, rack, True
        self.free = MEMORY_GIB
        self.guests: dict[int, FleetGuest] = {}
        self.services: Counter[int] = Counter()
        self.peak, self.squares = [0.0] * len(KINDS), [0.0] * len(KINDS)

    @property
    def promised(self) -> float:
        """Reads a second, if all its guests had their peaks at once."""
        return sum(self.peak)

    def take(self, guest: FleetGuest) -> None:
        """Have one more guest.  ValueError if it does not fit."""
        if guest.memory > self.free:
            raise ValueError(f"guest {guest.number} needs {guest.memory} GiB; host {self.number} has {self.free}")
        self._change(guest, 1)
        self.guests[guest.number] = guest

    def give(self, guest: FleetGuest) -> None:
        """Have it no more."""
        del self.guests[guest.number]
        self._change(guest, -1)

    def _change(self, guest: FleetGuest, sign: int) -> None:
        self.free -= sign * guest.memory
        self.services[guest.service] += sign
        self.peak[guest.kind] += sign * guest.rate
        self.squares[guest.kind] += sign * guest.rate ** 2

    def asked(self, parts: Sequence[float]) -> tuple[float, float]:
        """Return the sum of its guests' reads a second, and of their squares, where each kind asks for such a part of its peak."""
        return (sum(part * peak for part, peak in zip(parts, self.peak)), sum(part * part * square for part, square in zip(parts, self.squares)))

    def busy(self, curve: Curve, parts: Sequence[float]) -> float:
        """Return the part of its cores that it needs then."""
        return curve.busy(*self.asked(parts))
