"""The host block layer: the requests of all guests, one device queue, a scheduler between them, who got how much.

What the device may not take yet waits in the scheduler: a queue that the device has
taken is one that nobody can be fair about.  So no more bytes go to it than keep it
busy, and by default guests take turns (`drr.py`).  A flush waits for all earlier
writes of its guest, and holds no other guest up.

Guests, shares, queue depth and policy may change while requests are under way:
each that was taken is answered once.  So may the host's cores (`Host.set_cores`).
What a layer further up has fixed at open time (the size of a channel's rings)
changes by closing and opening again; the requests here don't notice.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from simpy.events import Event

from vmio.host.contracts import BlockDriver, Done
from vmio.host.drr import QUANTUM, DeficitRoundRobin
from vmio.host.scheduler import SECOND, Scheduler, Share
from vmio.host.service import Service
from vmio.hypervisor.contracts import Root
from vmio.hypervisor.costs import CostModel

CHANGES = ("write", "zero")
KINDS = ("read", "flush", *CHANGES)
ABORTED = 0x007        # NVMe 1.4, 4.6.1.2.1: Command Abort Requested
NOT_READY = 0x082      # Namespace Not Ready: the device is somebody else's at the moment
GONE = 0x400B          # Invalid Namespace or Format, and Do Not Retry: there is no such disk any more
MAX_PAGES, MAX_SECTORS = 513, 65_536     # what one NVMe command takes


class DeviceAway(ValueError):
    """The device is not the host's at the moment; the text says whose."""


class Request:
    """One request on its way."""

    __slots__ = ("guest", "op", "lba", "sectors", "pages", "done", "submitted", "started")

    def __init__(self, guest: str, op: str, lba: int, sectors: int, pages: Sequence[int], done: Done, submitted: int) -> None:
        self.guest, self.op, self.lba, self.sectors, self.pages = guest, op, lba, sectors, pages
        self.done, self.submitted = done, submitted
        self.started = 0


def window_bytes(costs: CostModel) -> int:
    """Return as many bytes as must be at the disk so that it is never idle, whatever the sizes of the requests."""
    return costs.disk_read_rate * costs.disk_read_ns // SECOND + QUANTUM


class BlockLayer:
    """Requests for one device, through `driver` (submit, ring_doorbell, reap), in `host`'s time.

    `scheduler` decides who is next (default `DeficitRoundRobin`).  At most `depth`
    requests are at the device at a time (default: as many as its queue takes), and none
    goes there while `window` bytes are (default: what its latency lets pass at full
    rate, and one large request more).  Connect the device's interrupt to
    `interrupt(vector)`.  Completions run in an event of the simulation, so `done` may
    submit again.
    """

    def __init__(self, host: Root, driver: BlockDriver | None, scheduler: Scheduler | None = None, depth: int | None = None,
                 window: float | None = None) -> None:
        self.host, self.env, self.costs = host, host.env, host.costs
        self.driver = driver               # None: the device is away
        self.services: dict[str, Service] = {}   # guest name: Service
        self.queue = DeficitRoundRobin() if scheduler is None else scheduler
        self.depth = 0
        self.at_device: set[Request] = set()   # requests
        self._sectors = 0                  # of those
        self._window = (window_bytes(host.costs) if window is None else window) / 512
        self._refused: Request | None = None   # the request that the device had no room for
        self._alarms: list[int] = []       # times at which we ask the scheduler again, latest first
        self._reaping = self._ringing = False
        self.away: str | None = None       # why the device isn't ours, or None
        if depth is not None and not 1 <= depth <= 4095:
            raise ValueError(f"depth {depth}: 1 to 4,095")
        self._asked = depth
        if driver is not None:
            self.reopen(driver)

    @property
    def in_flight(self) -> int:
        """Requests at the device."""
        return len(self.at_device)

    def close(self, reason: str) -> None:
        """Take no more requests (`reason` says why).  ValueError while requests are under way or wait."""
        waiting = sum(service.outstanding for service in self.services.values()) - self.in_flight
        if self.in_flight or waiting:
            raise ValueError(f"{self.in_flight} requests are under way, {waiting} wait; let them end first")
        self.away = reason

    def reopen(self, driver: BlockDriver) -> None:
        """Take the device back, behind `driver`; its queue may be another size."""
        self.driver, self.away = driver, None
        self.max_depth = driver.pairs[0].entries - 1    # a ring keeps one entry free
        self.depth = min(self._asked or self.max_depth, self.max_depth)

    # -- guests and their shares ---------------------------------------------------------------

    def service(self, guest: str) -> Service:
        """Return the `Service` of a guest, by name; a guest that was never here is added with an ordinary share."""
        found = self.services.get(guest)
        return self.add(guest) if found is None else found

    def add(self, guest: str, share: Share = Share()) -> Service:
        """Let a guest in; returns its `Service`, which goes on if it was here before.

        ValueError if it is here, or if requests of its last stay are still under way.
        """
        service = self.services.setdefault(guest, Service(open=False))
        if service.outstanding:
            raise ValueError(f"guest {guest!r}: {service.outstanding} requests of it are still under way")
        self.queue.add(guest, share, self.env.now)     # ValueError if it is here
        service.open, service.drained = True, None
        return service

    def service_share(self, guest: str) -> Share:
        """Return the share of a guest, which is let in if it is not here."""
        if guest not in self.queue.flows:
            self.add(guest)
        return self.queue.flows[guest].share

    def change(self, guest: str, **fields: Any) -> Share:
        """Change parts of a guest's share (`weight`, `reservation`, `cap`, `iops`, `burst_ns`) from now on.

        Returns the new `Share`.  ValueError for a value that can't be, KeyError for a guest that isn't here.
        """
        share = replace(self.queue.flows[guest].share, **fields)
        self.queue.change(guest, share, self.env.now)
        self._start()
        return share

    def remove(self, guest: str, abort: bool = False) -> Event | None:
        """Take no more of a guest's requests.  Returns None, or an event: its last request is under way until then.

        What it has submitted is carried out; with `abort`, what is not at the device
        yet is answered `ABORTED`.  Later requests are answered `GONE`.  KeyError for a
        guest that isn't here.
        """
        service, queue = self.services[guest], self.queue
        if guest not in queue.flows:
            raise KeyError(guest)
        service.open = False
        if abort:
            waiting = queue.remove(guest, self.env.now) + [request for request, _ in service.flushes]
            service.flushes.clear()
            if self._refused is not None and self._refused.guest == guest:
                waiting.insert(0, self._refused)
                self._refused = None
            service.aborted += len(waiting)
            service.writes.difference_update(waiting)
            if waiting:
                self._later(lambda _: self._abort(service, waiting))
        elif not service.outstanding:
            queue.remove(guest, self.env.now)
        if not service.outstanding:
            return None
        if service.drained is None:
            service.drained = self.env.event()
        return service.drained

    def _abort(self, service: Service, requests: Sequence[Request]) -> None:
        for request in requests:
            self._answered(service, request)
            request.done(ABORTED)

    def set_depth(self, depth: int) -> None:
        """At most so many requests at the device from now on; what is there stays."""
        if not 1 <= depth <= self.max_depth:
            raise ValueError(f"depth {depth}: 1 to {self.max_depth:,}")
        self._asked = self.depth = depth
        self._start()

    def set_scheduler(self, scheduler: Scheduler) -> None:
        """Another policy from now on; guests keep their shares, and requests their order within each guest."""
        old, now = self.queue, self.env.now
        waiting = []
        for guest, flow in list(old.flows.items()):
            scheduler.add(guest, flow.share, now)
            waiting += old.remove(guest, now)
        self.queue = scheduler
        for request in sorted(waiting, key=lambda request: request.submitted):
            scheduler.enqueue(request, now)
        self._start()

    # -- requests ------------------------------------------------------------------------------

    def submit(self, guest: str, op: str, lba: int, sectors: int, pages: Sequence[int], done: Done) -> None:
        """Take a "read", "write", "zero" or "flush" of `guest`; `done(status)` is called at its end (0: success).

        `pages` as for `NvmeDriver.submit`.  Several submits at one time share one
        doorbell.  ValueError for what no device takes, `DeviceAway` between `close` and `reopen`.
        """
        if self.away is not None:
            raise DeviceAway(f"{op} of {guest}: {self.away}")
        if op not in KINDS or len(pages) > MAX_PAGES or not (1 <= sectors <= MAX_SECTORS or op == "flush") or lba >> 64:
            raise ValueError(f"{op} of {sectors} sectors at {lba}, {len(pages)} pages: "
                             f"1 to {MAX_SECTORS:,} sectors below 2^64, at most {MAX_PAGES} pages")
        service = self.services.get(guest) or self.add(guest)
        if not service.open:
            service.refused += 1
            self.env.timeout(self.costs.host_request_ns).callbacks.append(lambda _: done(GONE))
            return
        now = self.env.now
        request = Request(guest, op, lba, sectors, pages, done, now)
        service.outstanding += 1
        if op == "flush":
            if service.writes:
                service.flushes.append((request, set(service.writes)))
                return
        elif op != "read":
            service.writes.add(request)
        self.queue.enqueue(request, now)
        if len(self.at_device) < self.depth:
            self._start()

    def _start(self) -> None:
        """Move what may go to the device queue; ring once at the end of this instant."""
        queue, driver, now = self.queue, self.driver, self.env.now
        if driver is None:
            return
        moved = False
        at_device = self.at_device
        while len(at_device) < self.depth and self._sectors < self._window:
            if self._refused is not None:
                request, self._refused = self._refused, None
            else:
                request, when = queue.next(now)
                if request is None:
                    if when is not None:
                        self._ask_again(when)
                    break
            if not driver.submit(request.op, request.lba, request.sectors, request.pages, request):
                self._refused = request    # somebody else has filled the queue
                break
            request.started = now
            at_device.add(request)
            self._sectors += request.sectors
            moved = True
        if moved and not self._ringing:
            self._ringing = True
            self._later(self._ring)

    def _ask_again(self, when: int) -> None:
        """Caps and limits: nothing may go before `when`.  One alarm that comes earlier will do."""
        if not self._alarms or when < self._alarms[-1]:
            self._alarms.append(when)
            self.env.timeout(when - self.env.now).callbacks.append(self._alarm)

    def _alarm(self, event: Event) -> None:
        self._alarms.pop()
        self._start()

    def _ring(self, event: Event) -> None:
        self._ringing = False
        if self.driver is not None:
            self.driver.ring_doorbell()

    def _later(self, callback: Callable[..., None]) -> None:
        self.env.timeout(0).callbacks.append(callback)

    def interrupt(self, vector: int = 0) -> None:
        """Take the answers that the device has for us."""
        if not self._reaping:
            self._reaping = True
            self.env.timeout(0).callbacks.append(self._reap)

    def _reap(self, event: Event) -> None:
        self._reaping = False
        finished = self.driver.reap() if self.driver is not None else []
        self.at_device.difference_update([request for request, _ in finished])
        now, failed = self.env.now, []
        for request, status in finished:
            service = self.services[request.guest]
            self._sectors -= request.sectors
            service.requests += 1
            service.bytes += request.sectors * 512
            service.errors += status != 0
            service.waiting_ns += request.started - request.submitted
            service.device_ns += now - request.started
            service.latencies.add(now - request.submitted)
            if request.op in CHANGES:
                self._write_ended(service, request)
            self._answered(service, request)
            try:
                request.done(status)
            except Exception as error:  # noqa: BLE001  the others' answers must not be lost for it
                failed.append((request.guest, error))
        self._start()
        for name, cause in failed:
            self._blame(name, cause)

    def _blame(self, name: str, error: Exception) -> None:
        """The error is a fault of the guest of that name, or the host's own."""
        for guest in self.host.guests:
            if guest.name == name:
                return self.host.fault(guest, error)
        raise error

    def _write_ended(self, service: Service, write: Request) -> None:
        """Let go of the flushes that waited for this write last."""
        service.writes.discard(write)
        for flush in tuple(service.flushes):
            request, earlier = flush
            earlier.discard(write)
            if not earlier:
                service.flushes.remove(flush)
                self.queue.enqueue(request, self.env.now)

    def _answered(self, service: Service, request: Request) -> None:
        """The one place where a guest's request ceases to count; if its guest is to leave, the last one lets it go."""
        service.outstanding -= 1
        if not (service.open or service.outstanding):
            if request.guest in self.queue.flows:
                self.queue.remove(request.guest, self.env.now)
            if service.drained is not None:
                service.drained.succeed()
