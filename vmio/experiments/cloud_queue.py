"""Two cases of one guest on a disk for which theory gives the answer: random arrivals at a disk that takes one at a time, and a token bucket.

M/D/1: arrivals at random (Poisson), a service that always takes as long, one server.  The mean wait before the service is
rho / (2 (1 - rho)) times the service, with rho the part of the time in which the server is busy (Pollaczek and Khinchine; L. Kleinrock,
Queueing Systems I, 1975, section 5.6).

Token bucket: of requests that all come at once to a full bucket of `size` tokens, as many go at once; each further one
waits for one token more, which takes 1 / rate.
"""

from collections.abc import Generator
from dataclasses import dataclass
from random import Random

from simpy.events import Event

from vmio.host.scheduler import SECOND, Fifo, Share
from vmio.host.throttle import Throttle
from vmio.host.timed import TimedDisk
from vmio.modes import Machine

GUEST = "guest"
SECTORS = 8


@dataclass(frozen=True)
class Waits:
    """A queue before a disk that was `asked` to be busy for a part of the time; `service_ns` and `wait_ns` are means."""

    asked: float
    requests: int
    service_ns: float
    wait_ns: float
    rate: float               # arrivals a second, as they came

    @property
    def rho(self) -> float:
        """The part of the time in which the disk was busy, by the arrivals that there were."""
        return self.rate * self.service_ns / SECOND

    @property
    def theory_ns(self) -> float:
        """The mean wait by the formula, for what was asked."""
        return self.asked / (2 * (1 - self.asked)) * self.service_ns


def random_arrivals(rho: float, requests: int, seed: int = 1) -> Waits:
    """Let reads of 4 KiB come at random to a disk that takes one at a time, as many as keep it busy for `rho` of the time; the waits.

    ValueError unless 0 < rho < 1: at 1 and beyond the queue grows without end.
    """
    if not 0 < rho < 1:
        raise ValueError(f"rho {rho!r}: above 0 and below 1; a disk that is asked for more never catches up")
    host = Machine(memory_mib=4).host
    disk = TimedDisk(host, scheduler=Fifo(), depth=1)
    service, random, at = host.costs.disk_ns("read", SECTORS), Random(seed), 0.0
    layer, env = disk.layer, host.env

    def program() -> Generator[Event, None, None]:
        nonlocal at
        for _ in range(requests):
            at += random.expovariate(rho) * service
            yield env.timeout(max(0, round(at) - env.now))
            layer.submit(GUEST, "read", 0, SECTORS, (), lambda status: None)
    env.process(program())
    env.run()
    got = layer.services[GUEST]
    return Waits(rho, requests, got.device_ns / got.requests, got.waiting_ns / got.requests, requests * SECOND / at)


def bucket_ends(rate: int, size: int, requests: int) -> list[int]:
    """Return when each of `requests` reads that come at once is over, in ns, on a disk behind a bucket of `size` tokens that `rate` a second fill."""
    host = Machine(memory_mib=4).host
    disk = TimedDisk(host, scheduler=Throttle())
    disk.layer.add(GUEST, Share(iops=rate, burst_ns=-(-size * SECOND // rate)))
    ends: list[int] = []
    for _ in range(requests):
        disk.layer.submit(GUEST, "read", 0, SECTORS, (), lambda status: ends.append(host.env.now))
    host.env.run()
    return ends


def bucket_theory(rate: int, size: int, requests: int) -> list[int]:
    """Return when each of them may go, in ns, by the closed form."""
    return [max(0, -(-(at - size) * SECOND // rate)) for at in range(1, requests + 1)]
