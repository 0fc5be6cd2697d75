"""Where the guests of a fleet are: a policy says it, or a function of one's own."""

from collections import Counter
from collections.abc import Callable, Sequence

from vmio.manage.fleet.guests import FleetGuest
from vmio.manage.fleet.host import FleetHost
from vmio.manage.fleet.policies import POLICIES, Policy

Own = Callable[[Sequence[FleetHost], FleetGuest], object]       # a policy of one's own: the number of a host, or None for no host


class Refused(ValueError):
    """A policy of one's own raised, or named no host that can take the guest."""


class Placement:
    """`count` hosts in so many racks, each rack's side by side, and where each guest is: `where` has the number of its host."""

    def __init__(self, count: int, racks: int, policy: str, own: Own | None = None) -> None:
        self.hosts = [FleetHost(number, number * racks // count) for number in range(count)]
        self._policy: Policy = POLICIES[policy](count, racks)
        self._own = own
        self.where: dict[int, int] = {}
        self.racks_of: dict[int, Counter[int]] = {}             # service -> guests in each rack
        for host in self.hosts:
            self._policy.enter(host)

    def place(self, guest: FleetGuest) -> FleetHost | None:
        """Put a guest where the policy wants it; its host, or None if there is no room for it."""
        there = self.racks_of.setdefault(guest.service, Counter())
        number = self._policy.choose(guest, there) if self._own is None else self._ask(self._own, guest)
        if number is None:
            return None
        self.put(guest, self.hosts[number])
        return self.hosts[number]

    def put(self, guest: FleetGuest, host: FleetHost) -> None:
        """Put a guest on this host.  ValueError if it does not fit."""
        self._change(host, host.take, guest)
        self.where[guest.number] = host.number
        self.racks_of[guest.service][host.rack] += 1

    def remove(self, guest: FleetGuest) -> None:
        """Take a guest from its host."""
        host = self.hosts[self.where.pop(guest.number)]
        self._change(host, host.give, guest)
        self.racks_of[guest.service][host.rack] -= 1

    def close(self, host: FleetHost) -> None:
        """Let a host take no more guests by the policy; those that it has stay."""
        if host.open:
            self._policy.leave(host)
            host.open = False

    def reopen(self, host: FleetHost) -> None:
        """Let a host take guests again."""
        if not host.open:
            host.open = True
            self._policy.enter(host)

    def _change(self, host: FleetHost, change: Callable[[FleetGuest], None], guest: FleetGuest) -> None:
        if host.open:
            self._policy.leave(host)
        change(guest)
        if host.open:
            self._policy.enter(host)

    def _ask(self, own: Own, guest: FleetGuest) -> int | None:
        try:
            number = own(self.hosts, guest)
        except Exception as error:  # whatever somebody's policy raises
            raise Refused(f"guest {guest.number}: the policy raised {type(error).__name__}") from error
        if number is None:
            return None
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(self.hosts):
            raise Refused(f"guest {guest.number}: the policy said {str(number)[:30]!r}; a host's number, 0 to {len(self.hosts) - 1}, or None")
        host = self.hosts[number]
        if not host.open or host.free < guest.memory:
            raise Refused(f"guest {guest.number} needs {guest.memory} GiB; host {number} {f'has {host.free}' if host.open else 'takes no guests'}")
        return number
