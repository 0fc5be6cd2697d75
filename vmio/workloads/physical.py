"""The host's physical disk: an NVMe controller, the host's driver for it, the block layer, and a slice for each guest."""

from vmio.drivers.nvme import NvmeDriver, memory_needed
from vmio.hardware.nvme import BAR_BYTES, NvmeController
from vmio.hypervisor.block import BlockLayer
from vmio.hypervisor.hostcpu import HostCpu
from vmio.machine.bus import Bus
from vmio.machine.clock import Clock
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
    """A guest's part of the disk: what a VSP has as its backend."""

    def __init__(self, layer, first, sectors):
        self.layer, self.first, self.sectors = layer, first, sectors

    def submit(self, guest, kind, lba, sectors, pages, done):
        """As `BlockLayer.submit`, from this slice's first sector on.  ValueError outside of it."""
        if not 0 <= lba <= lba + sectors <= self.sectors:
            raise ValueError(f"{kind} of {sectors} sectors at {lba}: the slice has {self.sectors}")
        self.layer.submit(guest, kind, self.first + lba, sectors, pages, done)


class PhysicalDisk:
    """An NVMe disk of `host` that holds `media`, brought up by the host's driver; `slices` has one for each medium.

    `entries` is the size of its queue.  Its times are the prices of `host.costs`: the
    latencies of requests in flight overlap, their bytes pass one after the other.
    """

    def __init__(self, host, media, entries=256):
        env = self.env = host.env
        self.costs = host.costs
        self._passed = {"read": 0, "write": 0}   # when the last byte of all requests so far has passed, in ns
        self._times = {}           # (kind, sectors) -> what `_time_of` says
        medium = media[0] if len(media) == 1 else Volumes(media)

        bus = Bus("host MMIO", 1 << 48)
        self.cpu = HostCpu(host, bus)
        self.controller = NvmeController(Clock(env.now), host.memory, medium, self._interrupt, self._service)
        bus.attach(BAR, BAR_BYTES, self.controller, "nvme", width=4)
        size = memory_needed(entries)
        self.driver = NvmeDriver(self.cpu, BAR, host.memory.allocate(size // PAGE), size, entries, vectors=[1])
        self.layer = BlockLayer(host, self.driver)
        env.run(until=env.process(self.driver.init()))
        self.slices = [Slice(self.layer, n * one.sectors, one.sectors) for n, one in enumerate(media)]

    def _service(self, kind, sectors, done):
        """The medium's time for a request: alone it takes `disk_ns`."""
        key, passed = (kind, sectors), self._passed.get(kind)
        if key not in self._times:
            self._times[key] = self._time_of(kind, sectors)
        latency, passing = self._times[key]
        if passed is not None:
            now = self.env.now
            over = self._passed[kind] = max(now + latency, passed) + passing
            latency = over - now
        self.env.timeout(latency).callbacks.append(lambda _: done())

    def _time_of(self, kind, sectors):
        """(ns before the data, ns of the data) of a request that is alone."""
        costs = self.costs
        if kind not in self._passed:
            return costs.disk_ns(kind, sectors), 0
        rate = costs.disk_read_rate if kind == "read" else costs.disk_write_rate
        passing = sectors * SECTOR * 1_000_000_000 // rate
        return costs.disk_ns(kind, sectors) - passing, passing

    def _interrupt(self, vector):
        """MSI-X: vector 0 is the admin queue's, for whoever waits in `init`; 1 tells of requests."""
        if vector:
            self.layer.interrupt(vector)
        else:
            self.cpu.interrupt(vector)
