"""The host's physical disk: an NVMe controller, the host's driver for it, the block layer, and a slice for each guest."""

from vmio.drivers.nvme import NvmeDriver, memory_needed
from vmio.hardware.nvme.controller import BAR_BYTES, NvmeController
from vmio.host.block import GONE, NOT_READY, BlockLayer, DeviceAway
from vmio.host.clock import HostClock
from vmio.hypervisor.hostcpu import HostCpu
from vmio.hypervisor.inflight import InFlight
from vmio.machine.bus import Bus
from vmio.machine.memory import PAGE
from vmio.machine.storage import SECTOR

BAR = 1 << 40   # where the host's firmware has put the controller's registers


class Volumes:
    """Several media (`Image`, `Overlay`) of one size, one after the other, as one medium."""

    def __init__(self, media):
        self.media, self.each = media, media[0].sectors
        self.sectors = self.each * len(media)
        self.name = f"{len(media)} volumes"

    def read(self, lba, count=1):
        """`count` sectors from `lba`, as bytes."""
        return b"".join(medium.read(at, n) for medium, at, n in self._parts(lba, count))

    def write(self, lba, data):
        """Store whole sectors from `lba` on."""
        done = 0
        for medium, at, n in self._parts(lba, len(data) // SECTOR):
            medium.write(at, data[done:done + n * SECTOR])
            done += n * SECTOR

    def discard(self, lba, count):
        """Make sectors read as zeros."""
        for medium, at, n in self._parts(lba, count):
            medium.discard(at, n)

    def persist(self, lba, count):
        """These sectors are stable when this returns."""
        for medium, at, n in self._parts(lba, count):
            medium.persist(at, n)

    def flush(self):
        """All of them."""
        for medium in self.media:
            medium.flush()

    def _parts(self, lba, count):
        parts = []
        while count > 0:
            number, at = divmod(lba, self.each)
            n = min(count, self.each - at)
            parts.append((self.media[number], at, n))
            lba, count = lba + n, count - n
        return parts


class Slice:
    """A guest's part of the disk: what a VSP has as its backend.  It may be made, and removed, while others run."""

    POINTS = {"served": "((from, until) in ns) of each request, before its answer"}
    served = None

    def __init__(self, layer, first, sectors):
        self.layer, self.first, self.sectors = layer, first, sectors
        self.under_way = InFlight(layer.env)
        self.removed = False

    @property
    def in_flight(self):
        """Requests that were taken and not answered yet."""
        return len(self.under_way)

    def submit(self, guest, kind, lba, sectors, pages, done):
        """As `BlockLayer.submit`, from this slice's first sector on.  ValueError outside of it."""
        if not 0 <= lba <= lba + sectors <= self.sectors:
            raise ValueError(f"{kind} of {sectors} sectors at {lba}: the slice has {self.sectors}")
        layer = self.layer
        if self.removed:
            layer.env.timeout(layer.costs.host_request_ns).callbacks.append(lambda _: done(GONE))
            return

        ticket, began = self.under_way.begin(), layer.env.now

        def over(status):
            if ticket.end():
                if self.served is not None:
                    self.served((began, layer.env.now))
                done(status)
        with ticket:
            try:
                layer.submit(guest, kind, self.first + lba, sectors, pages, over)
            except DeviceAway:      # a guest's request comes too late: an error of the device, for the guest
                layer.env.timeout(0).callbacks.append(lambda _: over(NOT_READY))

    def remove(self):
        """Take no more requests; what was taken is carried out.  Returns None, or an event for when it is."""
        self.removed = True
        return self.under_way.drained()


class MediumTime:
    """How long the medium takes, by the prices of `host.costs`: the latencies of requests in flight overlap, their
    bytes pass one after the other.

    `service` is what an `NvmeController` asks.  `clock` is the device's, a `HostClock`.
    """

    def __init__(self, host):
        self.env, self.costs, self.clock = host.env, host.costs, HostClock(host.env)
        self._passed = {"read": 0, "write": 0}   # when the last byte of all requests so far has passed, in ns

    def at(self, ns, call):
        """Call when the simulation is at `ns`; at once if it is past that."""
        if ns > self.env.now:
            self.env.timeout(ns - self.env.now).callbacks.append(lambda _: call())
        else:
            call()

    def window(self):
        """{kind: sectors} that pass in the time of one request: fewer at a time, and the medium would idle."""
        costs = self.costs
        return {"read": costs.disk_read_ns * costs.disk_read_rate // (SECTOR * 1_000_000_000) + 1,
                "write": costs.disk_write_ns * costs.disk_write_rate // (SECTOR * 1_000_000_000) + 1}

    def service(self, kind, sectors, done):
        """The medium's time for a request: alone it takes `disk_ns`."""
        costs, now = self.costs, max(self.env.now, self.clock.asked)
        over = now + costs.disk_ns(kind, sectors)
        if kind in self._passed:
            rate = costs.disk_read_rate if kind == "read" else costs.disk_write_rate
            passing = sectors * SECTOR * 1_000_000_000 // rate
            over = self._passed[kind] = max(over - passing, self._passed[kind]) + passing
        self.env.timeout(over - self.env.now).callbacks.append(lambda _: done())


class PhysicalDisk:
    """An NVMe disk of `host` that holds `media`, brought up by the host's driver; `slices` has one for each medium.

    `entries` is the size of its queue; `sharing`: options of its `BlockLayer`.
    """

    def __init__(self, host, media, entries=256, **sharing):
        env = self.env = host.env
        medium = media[0] if len(media) == 1 else Volumes(media)

        bus = Bus("host MMIO", 1 << 48)
        self.cpu = HostCpu(host, bus)
        time = MediumTime(host)
        self.controller = NvmeController(time.clock, host.memory, medium, self._interrupt, time.service)
        bus.attach(BAR, BAR_BYTES, self.controller, "nvme", width=4)
        size = memory_needed(entries)
        self.driver = NvmeDriver(self.cpu, BAR, host.memory.allocate(size // PAGE), size, entries, vectors=[1])
        self.layer = BlockLayer(host, self.driver, **sharing)
        env.run(until=env.process(self.driver.init()))
        self.slices = [Slice(self.layer, n * one.sectors, one.sectors) for n, one in enumerate(media)]

    def _interrupt(self, vector):
        """MSI-X: vector 0 is the admin queue's, for whoever waits in `init`; 1 tells of requests."""
        if vector:
            self.layer.interrupt(vector)
        else:
            self.cpu.interrupt(vector)
