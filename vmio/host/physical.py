"""The host's physical disk: an NVMe controller, the host's driver for it, the block layer, and a slice for each guest."""

from collections.abc import Callable, Sequence
from typing import Any

from simpy.events import Event

from vmio.drivers.nvme import CC, NvmeDriver, memory_needed
from vmio.hardware.nvme.controller import BAR_BYTES, NvmeController
from vmio.host.block import GONE, NOT_READY, BlockLayer, DeviceAway
from vmio.host.clock import HostClock
from vmio.host.contracts import Done
from vmio.hypervisor.contracts import Root
from vmio.hypervisor.hostcpu import HostCpu
from vmio.hypervisor.inflight import InFlight
from vmio.machine.bus import Bus
from vmio.machine.contracts import Buffer, SectorStore
from vmio.machine.media.medium import grow
from vmio.machine.memory import PAGE
from vmio.machine.storage import SECTOR

MAX_PRICES = 1024     # kinds of requests whose time is remembered
BAR = 1 << 40   # where the host's firmware has put the controller's registers


class Volumes:
    """Several media (`Image`, `Overlay`) of one size, one after the other, as one medium.

    One that has grown gets a place of its own, behind all others (`move`); what is on its way to its old place still finds it.
    """

    def __init__(self, media: Sequence[SectorStore]) -> None:
        self.media, self.each = media, media[0].sectors
        self.sectors = self.each * len(media)
        self.moved: list[tuple[int, SectorStore]] = []      # (first sector, medium), in order, behind the equal ones
        self.name = f"{len(media)} volumes"

    def move(self, medium: SectorStore) -> int:
        """Give a medium, as large as it is now, a place behind all others; returns its first sector."""
        first = self.sectors
        self.moved.append((first, medium))
        self.sectors += medium.sectors
        return first

    def read(self, lba: int, count: int = 1) -> bytes:
        """Return `count` sectors from `lba`, as bytes."""
        return b"".join(medium.read(at, n) for medium, at, n in self._parts(lba, count))

    def write(self, lba: int, data: Buffer) -> None:
        """Store whole sectors from `lba` on."""
        done = 0
        for medium, at, n in self._parts(lba, len(data) // SECTOR):
            medium.write(at, data[done:done + n * SECTOR])
            done += n * SECTOR

    def discard(self, lba: int, count: int) -> None:
        """Make sectors read as zeros."""
        for medium, at, n in self._parts(lba, count):
            medium.discard(at, n)

    def persist(self, lba: int, count: int) -> None:
        """Make these sectors stable before it returns."""
        for medium, at, n in self._parts(lba, count):
            medium.persist(at, n)

    def flush(self) -> None:
        """Flush all of them."""
        for medium in self.media:
            medium.flush()

    def _parts(self, lba: int, count: int) -> list[tuple[SectorStore, int, int]]:
        parts = []
        while count > 0:
            number, at = divmod(lba, self.each)
            if number < len(self.media):
                n = min(count, self.each - at)
                parts.append((self.media[number], at, n))
            else:
                first, medium = next(each for each in reversed(self.moved) if each[0] <= lba)
                n = min(count, first + medium.sectors - lba)
                parts.append((medium, lba - first, n))
            lba, count = lba + n, count - n
        return parts


class Slice:
    """A guest's part of the disk: what a VSP has as its backend.  It may be made, and removed, while others run."""

    POINTS = {"served": "((from, until) in ns) of each request, before its answer"}
    served = None

    def __init__(self, layer: BlockLayer, first: int, sectors: int, disk: "PhysicalDisk | None" = None,
                 serial: str | None = None) -> None:
        self.layer, self.first, self.sectors, self.disk, self.serial = layer, first, sectors, disk, serial
        self.under_way = InFlight(layer.env)
        self.removed = False

    @property
    def in_flight(self) -> int:
        """Requests that were taken and not answered yet."""
        return len(self.under_way)

    def submit(self, guest: str, op: str, lba: int, sectors: int, pages: Sequence[int], done: Done) -> None:
        """Submit as `BlockLayer.submit` does, from this slice's first sector on.  ValueError outside of it."""
        if not 0 <= lba <= lba + sectors <= self.sectors:
            raise ValueError(f"{op} of {sectors} sectors at {lba}: the slice has {self.sectors}")
        layer = self.layer
        if self.removed:
            layer.env.timeout(layer.costs.host_request_ns).callbacks.append(lambda _: done(GONE))
            return

        over = Part(self, layer.env.now, done)
        try:
            layer.submit(guest, op, self.first + lba, sectors, pages, over)
        except DeviceAway:      # a guest's request comes too late: an error of the device, for the guest
            layer.env.timeout(0).callbacks.append(lambda _: over(NOT_READY))
        except BaseException:
            self.under_way.ended(over)
            raise

    def dispose(self) -> None:
        """The disk was made for one guest, which has it no more: take it out of the host."""
        if self.disk is not None:
            self.disk.remove()

    def remove(self) -> Event | None:
        """Take no more requests; what was taken is carried out.  Returns None, or an event for when it is."""
        self.removed = True
        return self.under_way.drained()


class Part:
    """A request at `part` (a `Slice`) that `began` at so many ns; called with its status, it tells `done`, once."""

    __slots__ = ("part", "began", "done")

    def __init__(self, part: "Slice", began: int, done: Done) -> None:
        self.part, self.began, self.done = part, began, done
        part.under_way.begin(self)

    def __call__(self, status: int) -> None:
        part = self.part
        if part.under_way.ended(self):
            if part.served is not None:
                part.served((self.began, part.layer.env.now))
            self.done(status)


class Then:
    """Calls `call()` when an event happens."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call

    def __call__(self, event: Event) -> None:
        self.call()


class MediumTime:
    """How long the medium takes, by the prices of `host.costs`: the latencies of requests in flight overlap, their
    bytes pass one after the other.

    `service` is what an `NvmeController` asks.  `clock` is the device's, a `HostClock`.
    """

    POINTS = {"begun": "(op, from, until) in ns of each request, when the medium takes it"}
    begun: Callable[[str, int, int], None] | None = None

    def __init__(self, host: Root) -> None:
        self.env, self.costs, self.clock = host.env, host.costs, HostClock(host.env)
        self._alone: dict[tuple[str, int], tuple[int, int | None]] = {}   # (op, sectors) -> ns that it takes alone, of prices asked for once
        self._passed = {"read": 0, "write": 0}   # when the last byte of all requests so far has passed, in ns

    def at(self, ns: int, call: Callable[..., None]) -> None:
        """Call when the simulation is at `ns`; at once if it is past that."""
        if ns > self.env.now:
            self.env.timeout(ns - self.env.now).callbacks.append(Then(call))
        else:
            call()

    def window(self) -> dict[str, int]:
        """Return {op: sectors} that pass in the time of one request: fewer at a time, and the medium would idle."""
        costs = self.costs
        return {"read": costs.disk_read_ns * costs.disk_read_rate // (SECTOR * 1_000_000_000) + 1,
                "write": costs.disk_write_ns * costs.disk_write_rate // (SECTOR * 1_000_000_000) + 1}

    def service(self, op: str, sectors: int, done: Callable[[], None]) -> None:
        """Take the medium's time for a request, then call `done`: alone it takes `disk_ns`."""
        now = self.env.now
        alone, passing = self._alone.get((op, sectors)) or self._price(op, sectors)
        over = max(now, self.clock.asked) + alone
        if passing is not None:
            over = self._passed[op] = max(over - passing, self._passed[op]) + passing
        if self.begun is not None:
            self.begun(op, now, over)
        self.env.timeout(over - now).callbacks.append(Then(done))

    def _price(self, op: str, sectors: int) -> tuple[int, int | None]:
        """(ns that a request takes alone, ns that its bytes take to pass; None if they pass nothing)."""
        costs, passing = self.costs, None
        if op in self._passed:
            rate = costs.disk_read_rate if op == "read" else costs.disk_write_rate
            passing = sectors * SECTOR * 1_000_000_000 // rate
        if len(self._alone) >= MAX_PRICES:
            self._alone.clear()
        price = self._alone[op, sectors] = costs.disk_ns(op, sectors), passing
        return price


class PhysicalDisk:
    """An NVMe disk of `host` that holds `media`, brought up by the host's driver; `slices` has one for each medium.

    `entries` is the size of its queue; `sharing`: options of its `BlockLayer`.  While a machine runs, nobody can wait for it:
    with `ready` it is brought up beside everything else, and `ready()` is called when it takes requests.
    """

    def __init__(self, host: Root, media: Sequence[SectorStore], entries: int = 256, ready: Callable[[], None] | None = None,
                 **sharing: Any) -> None:
        env = self.env = host.env
        medium = media[0] if len(media) == 1 else Volumes(media)

        bus = Bus("host MMIO", 1 << 48)
        self.cpu = HostCpu(host, bus)
        self.time = time = MediumTime(host)
        self.controller = NvmeController(time.clock, host.memory, medium, self._interrupt, time.service)
        bus.attach(BAR, BAR_BYTES, self.controller, "nvme", width=4)
        self._memory, size = host.memory, memory_needed(entries)
        self._pages = host.memory.allocate(size // PAGE), size // PAGE
        self.driver = NvmeDriver(self.cpu, BAR, self._pages[0], size, entries, vectors=[1])
        self.layer = BlockLayer(host, self.driver, **sharing)
        up = env.process(self.driver.init())
        if ready is None:
            env.run(until=up)
        else:
            up.callbacks.append(Then(ready))
        self.media = list(media)
        self.slices = [Slice(self.layer, n * one.sectors, one.sectors, self, getattr(one, "serial", None)) for n, one in enumerate(media)]

    def grow(self, part: Slice, sectors: int) -> None:
        """Let one of the slices, and its medium, have so many sectors.  ValueError, with nothing changed, if that can't be.

        Requests that are under way are carried out where they were to be.
        """
        medium, whole = self.media[self.slices.index(part)], self.controller.image
        grow(medium, sectors)
        first = whole.move(medium) if isinstance(whole, Volumes) else part.first
        part.first, part.sectors = first, sectors
        self.controller.events.namespace_changed(self.controller.features.events)

    def remove(self) -> None:
        """Take the disk out of the host, which has its memory back; nothing is under way, and what was written is on the media.

        ValueError while requests are under way.
        """
        self.layer.close("the disk was taken out")
        for medium in self.media:
            medium.flush()
        self.cpu.store(BAR + CC, 4, 0)          # the controller lets go of its queues
        self._memory.free(*self._pages)

    def _interrupt(self, vector: int) -> None:
        """MSI-X: vector 0 is the admin queue's, for whoever waits in `init`; 1 tells of requests."""
        if vector:
            self.layer.interrupt(vector)
        else:
            self.cpu.interrupt(vector)
