"""What a guest got of a device: the account that a lesson, a manager or a bill is made from."""

from dataclasses import dataclass, field

from simpy.events import Event


class Samples:
    """At most `max_values` of the numbers it was given, evenly spread over all of them.

    When it is full, every second one goes, and from then on only every second (then
    fourth, ...) is taken.  No chance is involved: two runs keep the same.
    """

    def __init__(self, max_values: int = 1024) -> None:
        if max_values < 2 or max_values % 2:
            raise ValueError(f"max_values {max_values}: even, at least 2")
        self.max_values, self.stride, self._skip = max_values, 1, 0
        self.values: list[int] = []

    def add(self, value: int) -> None:
        """Take one more number."""
        if self._skip:
            self._skip -= 1
            return
        self.values.append(value)
        self._skip = self.stride - 1
        if len(self.values) == self.max_values:
            del self.values[1::2]
            self.stride *= 2

    def percentile(self, percent: int) -> int | None:
        """Return the smallest of the kept values that `percent` of them do not exceed; None if there is none."""
        if not self.values:
            return None
        return sorted(self.values)[max(0, -(-len(self.values) * percent // 100) - 1)]


@dataclass
class Service:
    """What one guest got.  Times in ns, summed over its requests; `latencies` are samples from submit to answer."""

    requests: int = 0
    bytes: int = 0
    errors: int = 0
    refused: int = 0         # not taken: the guest had been removed
    aborted: int = 0         # taken, but given back undone when the guest was removed
    waiting_ns: int = 0      # from submit to the device queue
    device_ns: int = 0       # from the device queue to the answer
    outstanding: int = 0     # taken, and not answered yet
    latencies: Samples = field(default_factory=Samples, repr=False)
    writes: set = field(default_factory=set, repr=False)     # requests under way
    flushes: list = field(default_factory=list, repr=False)  # (request, the writes that must end first)
    open: bool = field(default=True, repr=False)             # may it submit?
    drained: Event | None = field(default=None, repr=False)  # the event of `BlockLayer.remove`
