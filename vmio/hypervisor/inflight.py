"""What is under way: a ticket for each request, so that no error on its way can make the count wrong.

    flight = InFlight(env)
    with flight.begin() as ticket:       # ended at once if what begins it raises
        backend.submit(..., done)
    ...
    ticket.end()                         # in `done`; True once, False if it has ended before
    flight.drained()                     # None, or an event for when nothing is under way any more

A number that one line raises and another lowers is one too high for ever when an
exception passes between them, and whoever waits for 0 waits for ever.
"""


class Ticket:
    """One request under way; made by `InFlight.begin`."""

    __slots__ = ("_flight",)

    def __init__(self, flight):
        self._flight = flight
        flight.tickets[self] = None

    def end(self):
        """End it.  Returns whether this was the first time: only then may anybody be told."""
        return self._flight.ended(self)

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        if error is not None:
            self.end()


class InFlight:
    """The requests under way; `len()` is their number, `tickets` has them, oldest first."""

    __slots__ = ("env", "tickets", "_drained")

    def __init__(self, env):
        self.env, self.tickets, self._drained = env, {}, None

    def __len__(self):
        return len(self.tickets)

    def begin(self):
        """The ticket of one request more."""
        return Ticket(self)

    def ended(self, ticket):
        """Take a ticket back; False if it was not out any more."""
        if ticket not in self.tickets:
            return False
        del self.tickets[ticket]
        if not self.tickets and self._drained is not None:
            event, self._drained = self._drained, None
            event.succeed()
        return True

    def drained(self):
        """Return None if nothing is under way, or an event for when nothing is any more."""
        if not self.tickets:
            return None
        if self._drained is None:
            self._drained = self.env.event()
        return self._drained
