class Scheduler:
    """Keeps reservations (bytes per second, or 0), then weights; both {guest: number}."""

    def __init__(self, weights, reservations):
        self.weights, self.reservations = weights, reservations

    def pick(self, waiting, now):
        """Who is next?  `waiting` {guest: bytes of its first request}, `now` in seconds."""
        ...
