"""Which host gets the next guest: bin packing, with racks that may fail as a whole.

    first-fit     the first host with room: few hosts, all full
    best-fit      the host with the least room that is enough (D. S. Johnson, "Near-optimal bin packing algorithms", MIT, 1973, has both)
    spread        the rack with the fewest guests of the same service, and there the host with the most room
    least-loaded  the host whose guests ask for the fewest reads at their peaks

Each keeps the hosts that take guests in an order of its own, so that it needn't look at thousands of them for each guest.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping
from typing import Protocol

from vmio.manage.fleet.guests import FleetGuest
from vmio.manage.fleet.host import FleetHost

Order = list[tuple[float, int]]            # (key, number of a host), sorted


class Policy(Protocol):
    """What `Placement` asks: hosts enter, leave before they change, and one is chosen."""

    def enter(self, host: FleetHost) -> None:
        """Have this host to choose from, as it is now."""

    def leave(self, host: FleetHost) -> None:
        """Have it no more; it is still as it was when it entered."""

    def choose(self, guest: FleetGuest, there: Mapping[int, int]) -> int | None:
        """Return the number of a host with room, or None; `there` has the guests of its service in each rack."""


class FirstFit:
    """A tree over the hosts: each node has the most room of those below it, so that the first with enough is found from its root."""

    def __init__(self, hosts: int, racks: int) -> None:
        self._leaves = 1 << max(hosts - 1, 0).bit_length()
        self._room = [0] * (2 * self._leaves)

    def enter(self, host: FleetHost) -> None:
        """See `Policy`."""
        self._note(host.number, host.free)

    def leave(self, host: FleetHost) -> None:
        """See `Policy`."""
        self._note(host.number, 0)

    def _note(self, number: int, free: int) -> None:
        at = self._leaves + number
        self._room[at] = free
        while at > 1:
            at //= 2
            self._room[at] = max(self._room[2 * at], self._room[2 * at + 1])

    def choose(self, guest: FleetGuest, there: Mapping[int, int]) -> int | None:
        """See `Policy`."""
        if self._room[1] < guest.memory:
            return None
        at = 1
        while at < self._leaves:
            at = 2 * at if self._room[2 * at] >= guest.memory else 2 * at + 1
        return at - self._leaves


class _Sorted:
    """Hosts in the order of a key."""

    def __init__(self, hosts: int, racks: int) -> None:
        self.order: Order = []

    @staticmethod
    def key(host: FleetHost) -> float:
        """Return by what hosts are ordered: how much room they have."""
        return host.free

    def enter(self, host: FleetHost) -> None:
        """See `Policy`."""
        insort(self.order, (self.key(host), host.number))

    def leave(self, host: FleetHost) -> None:
        """See `Policy`."""
        del self.order[bisect_left(self.order, (self.key(host), host.number))]


class BestFit(_Sorted):
    """The first in the order of their room that has enough."""

    def choose(self, guest: FleetGuest, there: Mapping[int, int]) -> int | None:
        """See `Policy`."""
        at = bisect_left(self.order, (guest.memory, -1))
        return self.order[at][1] if at < len(self.order) else None


class LeastLoaded(_Sorted):
    """The first in the order of the reads they have promised that has room."""

    def __init__(self, hosts: int, racks: int) -> None:
        super().__init__(hosts, racks)
        self._free: dict[int, int] = {}

    @staticmethod
    def key(host: FleetHost) -> float:
        """Return the reads a second at its guests' peaks."""
        return host.promised

    def enter(self, host: FleetHost) -> None:
        """See `Policy`."""
        super().enter(host)
        self._free[host.number] = host.free

    def choose(self, guest: FleetGuest, there: Mapping[int, int]) -> int | None:
        """See `Policy`."""
        return next((number for _, number in self.order if self._free[number] >= guest.memory), None)


class Spread:
    """The hosts of each rack in the order of their room."""

    def __init__(self, hosts: int, racks: int) -> None:
        self._racks = [_Sorted(hosts, racks) for _ in range(racks)]

    def enter(self, host: FleetHost) -> None:
        """See `Policy`."""
        self._racks[host.rack].enter(host)

    def leave(self, host: FleetHost) -> None:
        """See `Policy`."""
        self._racks[host.rack].leave(host)

    def choose(self, guest: FleetGuest, there: Mapping[int, int]) -> int | None:
        """See `Policy`."""
        found = None
        for rack, hosts in enumerate(self._racks):
            if hosts.order and hosts.order[-1][0] >= guest.memory:
                wish = there.get(rack, 0), -hosts.order[-1][0], hosts.order[-1][1]
                found = wish if found is None else min(found, wish)
        return None if found is None else found[2]


FIRST, BEST, SPREAD, LEAST = "first-fit", "best-fit", "spread", "least-loaded"
POLICIES: dict[str, type[FirstFit] | type[BestFit] | type[Spread] | type[LeastLoaded]] = {FIRST: FirstFit, BEST: BestFit, SPREAD: Spread, LEAST: LeastLoaded}
