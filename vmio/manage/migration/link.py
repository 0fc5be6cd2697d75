"""The link between two hosts: so many bytes a second, a latency, and an end if somebody cuts it."""

from collections.abc import Callable

NS = 1_000_000_000


class LinkDown(Exception):
    """The link is gone; bytes that were on it never arrive."""


class Link:
    """A link of `bandwidth` bytes a second and `latency_ns` each way.  ValueError for one without bandwidth.

    Bytes leave in the order in which they are sent, and each takes its time; `free_at` is when the last has left, in ns.
    `cut_at`: so many bytes arrive, and then nobody hears anything any more.  `carry` is what a man in the middle may do.
    """

    def __init__(self, bandwidth: int, latency_ns: int = 100_000, cut_at: int | None = None,
                 carry: Callable[[bytes], bytes] | None = None) -> None:
        if bandwidth < 1:
            raise ValueError(f"link: bandwidth {bandwidth}; at least 1 byte a second")
        if latency_ns < 0:
            raise ValueError(f"link: latency_ns {latency_ns}; 0 or more")
        self.bandwidth, self.latency_ns, self.cut_at = bandwidth, latency_ns, cut_at
        self._carry = carry
        self.free_at = self.sent = 0

    def takes(self, count: int) -> int:
        """Return how many ns `count` bytes take, rounded up."""
        return -(-count * NS // self.bandwidth)

    def send(self, now: int, data: bytes) -> bytes:
        """Put `data` on the link at `now`, behind what is still on it, and return what arrives; `LinkDown` when it was cut before all had."""
        self.free_at = max(self.free_at, now) + self.takes(len(data))
        self.sent += len(data)
        if self.cut_at is not None and self.sent > self.cut_at:
            raise LinkDown(f"the link went down after {self.cut_at:,} bytes")
        return data if self._carry is None else self._carry(data)

    @property
    def arrives_at(self) -> int:
        """When the last byte that was sent is on the other side."""
        return self.free_at + self.latency_ns
