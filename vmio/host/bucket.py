"""A token bucket: it fills at a rate and holds so much; who has a cost takes tokens, or waits until there are enough."""

SECOND = 1_000_000_000      # ns


class Bucket:
    """Fills with `rate` tokens a second, holds `size`, and begins full.

    What costs more than it holds needs a full bucket, and leaves it in debt.  Once
    found wanting, it isn't looked at for `cooldown_ns`.
    """

    def __init__(self, rate: int, size: int, cooldown_ns: int = 0, now: int = 0) -> None:
        self.rate, self.size, self.cooldown_ns = rate, size, cooldown_ns
        self._level, self._at = size * SECOND, now     # in tokens * 1e9, so that integers do
        self._closed_until = now

    def ready(self, amount: int, now: int) -> int:
        """When `amount` can be taken if nobody takes any before: `now` or later, in ns."""
        self._level = min(self.size * SECOND, self._level + self.rate * (now - self._at))
        self._at = now
        missing = min(amount, self.size) * SECOND - self._level
        if missing <= 0 and now >= self._closed_until:
            return now
        if now >= self._closed_until:
            self._closed_until = now + self.cooldown_ns
        return max(self._closed_until, now + max(0, -(-missing // self.rate)))

    def take(self, amount: int) -> None:
        """Take it; `ready` has said that it may be."""
        self._level -= amount * SECOND
