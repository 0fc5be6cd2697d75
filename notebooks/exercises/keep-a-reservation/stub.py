class Scheduler:
    """Keeps reservations, in bytes a second (0: none), and shares what is left by weight; both {guest: number}."""

    def __init__(self, weights, reservations):
        self.weights, self.reservations = weights, reservations

    def pick(self, waiting, now):
        """The guest whose request goes next; `waiting` {guest: bytes of its first request}, `now` in seconds."""
        ...
