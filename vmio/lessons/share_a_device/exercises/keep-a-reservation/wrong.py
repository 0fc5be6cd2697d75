class Scheduler:
    """Weights only: fair to the last byte, and no reservation is kept."""

    def __init__(self, weights, reservations):
        self.weights, self.turn, self.last = weights, dict.fromkeys(weights, 0), 0

    def pick(self, waiting, now):
        """The guest with the smallest turn."""
        for guest in self.turn.keys() - waiting.keys():
            self.turn[guest] = max(self.turn[guest], self.last)
        guest = min(waiting, key=self.turn.get)
        self.last = self.turn[guest]
        self.turn[guest] += waiting[guest] / self.weights[guest]
        return guest
