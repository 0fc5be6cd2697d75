class Scheduler:
    """Keeps reservations (bytes per second, or 0), then weights; both {guest: number}."""

    def __init__(self, weights, reservations):
        self.weights, self.reservations = weights, reservations
        self.due, self.turn, self.last = dict.fromkeys(weights, 0), dict.fromkeys(weights, 0), 0

    def pick(self, waiting, now):
        """Who is next?  `waiting` {guest: bytes of its first request}, `now` in seconds."""
        for guest in self.turn.keys() - waiting.keys():
            self.due[guest], self.turn[guest] = max(self.due[guest], now), max(self.turn[guest], self.last)
        late = [guest for guest in waiting if self.reservations[guest] and self.due[guest] <= now]
        if late:
            guest = min(late, key=self.due.get)
            self.due[guest] += waiting[guest] / self.reservations[guest]
        else:
            guest = min(waiting, key=self.turn.get)
            self.last = self.turn[guest]
        self.turn[guest] += waiting[guest] / self.weights[guest]
        return guest
