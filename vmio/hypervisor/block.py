"""The host block layer: the requests of all guests, one device queue, who got how much of it.

What the device queue can't take waits here, first come first served.  A flush
waits for all earlier writes of its guest, and holds no other guest up.
"""

from collections import deque
from dataclasses import dataclass, field

CHANGES = ("write", "zero")


class DeviceAway(ValueError):
    """The device is not the host's at the moment; the text says whose."""


@dataclass
class Service:
    """What one guest got.  Times in ns, summed over its requests."""

    requests: int = 0
    bytes: int = 0
    errors: int = 0
    waiting_ns: int = 0      # from submit to the device queue
    device_ns: int = 0       # from the device queue to the answer
    writes: set = field(default_factory=set, repr=False)     # requests under way
    flushes: list = field(default_factory=list, repr=False)  # (request, the writes that must end first)


class Request:
    """One request on its way."""

    __slots__ = ("guest", "kind", "lba", "sectors", "pages", "done", "submitted", "started")

    def __init__(self, guest, kind, lba, sectors, pages, done, submitted):
        self.guest, self.kind, self.lba, self.sectors, self.pages = guest, kind, lba, sectors, pages
        self.done, self.submitted = done, submitted
        self.started = 0


class BlockLayer:
    """Requests for one device, through `driver` (submit, ring_doorbell, reap), in `host`'s time.

    Connect the device's interrupt to `interrupt(vector)`.  Completions run in an
    event of the simulation, so `done` may submit again.
    """

    def __init__(self, host, driver):
        self.env, self.driver = host.env, driver
        self.services = {}                 # guest name: Service
        self.queue = deque()
        self.in_flight = 0
        self._reaping = self._ringing = False
        self.away = None                   # why the device isn't ours, or None

    def close(self, reason):
        """Take no more requests (`reason` says why).  ValueError while requests are under way or wait."""
        waiting = len(self.queue) + sum(len(service.flushes) for service in self.services.values())
        if self.in_flight or waiting:
            raise ValueError(f"{self.in_flight} requests are under way, {waiting} wait; let them end first")
        self.away = reason

    def reopen(self, driver):
        """The device is back, behind `driver`."""
        self.driver, self.away = driver, None

    def service(self, guest):
        """The `Service` of a guest, by name."""
        found = self.services.get(guest)
        if found is None:
            found = self.services[guest] = Service()
        return found

    def submit(self, guest, kind, lba, sectors, pages, done):
        """Take a "read", "write", "zero" or "flush" of `guest`; `done(status)` is called at its end (0: success).

        `pages` as for `NvmeDriver.submit`.  Several submits at one time share one doorbell.
        `DeviceAway` between `close` and `reopen`.
        """
        if self.away is not None:
            raise DeviceAway(f"{kind} of {guest}: {self.away}")
        request = Request(guest, kind, lba, sectors, pages, done, self.env.now)
        service = self.service(guest)
        if kind == "flush":
            if service.writes:
                service.flushes.append((request, set(service.writes)))
                return
        elif kind in CHANGES:
            service.writes.add(request)
        self.queue.append(request)
        self._start()

    def _start(self):
        """Move what waits into the device queue; ring once at the end of this instant."""
        queue, driver, now = self.queue, self.driver, self.env.now
        moved = False
        while queue:
            request = queue[0]
            if not driver.submit(request.kind, request.lba, request.sectors, request.pages, request):
                break
            queue.popleft()
            request.started = now
            self.in_flight += 1
            moved = True
        if moved and not self._ringing:
            self._ringing = True
            self._later(self._ring)

    def _ring(self, event):
        self._ringing = False
        self.driver.ring_doorbell()

    def _later(self, callback):
        self.env.timeout(0).callbacks.append(callback)

    def interrupt(self, vector=0):
        """The device has answered something."""
        if not self._reaping:
            self._reaping = True
            self._later(self._reap)

    def _reap(self, event):
        self._reaping = False
        finished = self.driver.reap()
        self.in_flight -= len(finished)
        now = self.env.now
        for request, status in finished:
            service = self.service(request.guest)
            service.requests += 1
            service.bytes += request.sectors * 512
            service.errors += status != 0
            service.waiting_ns += request.started - request.submitted
            service.device_ns += now - request.started
            if request.kind in CHANGES:
                self._write_ended(service, request)
            request.done(status)
        if self.queue:
            self._start()

    def _write_ended(self, service, write):
        """Let go of the flushes that waited for this write last."""
        service.writes.discard(write)
        for flush in tuple(service.flushes):
            request, earlier = flush
            earlier.discard(write)
            if not earlier:
                service.flushes.remove(flush)
                self.queue.append(request)
