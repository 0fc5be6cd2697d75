"""Requests through a real virtqueue in virtual time: the same guest and the same host as `ringload` has, with the other standard's ring.

    result = run(QueueParams(queue_depth=32, event_idx=False))
    result.kicks, result.interrupts, result.slots

Both halves of the queue are those of every virtio device (`vmio.virtio.queue`); device and driver are as small as can be: a
request is a header, data in so many pieces, and a status byte; it takes `service_ns` on a core.  Prices are the cost model's; a kick is
a store that exits.
"""

from dataclasses import dataclass

from simpy.events import Event

from vmio.experiments import params
from vmio.experiments.load import Load, LoadCounts
from vmio.experiments.params import param
from vmio.hypervisor.contracts import Steps
from vmio.machine.contracts import Buffer
from vmio.virtio.queue import Chain, PackedQueue, SplitQueue
from vmio.virtio.queue.driver import DriverQueue, QueueFull
from vmio.virtio.queue.packed_driver import PackedDriver
from vmio.virtio.queue.split_driver import SplitDriver

FORMS = ("split", "packed")
HEADER, STATUS = 16, 1          # bytes of a request beside its data
PIECE = 4096                    # bytes of a piece of data
DESCRIPTORS, DRIVER, DEVICE, TABLES = 0, 0x1_0000, 0x2_0000, 0x3_0000
BUFFERS = 1 << 32               # where buffers would be: nobody looks into them here


@dataclass(frozen=True)
class QueueParams:
    """A queue of `entries`; the host takes `batch` requests at a time, and interrupts for as many.  vCPU and host share `host_cores`."""

    virtqueue: str = param("split", "the form of the queue", choices=FORMS)
    entries: int = param(128, "descriptors of the queue", low=8, high=256, scale="log2")
    indirect: bool = param(True, "requests of several pieces go into a table of their own, and take one descriptor")
    event_idx: bool = param(True, "each side says at which place it wants to be told")
    pieces: int = param(1, "pieces of 4 KiB that a request's data lie in", low=1, high=64, scale="log2")
    queue_depth: int = param(16, "requests that the guest keeps in flight", low=1, high=256, scale="log2")
    batch: int = param(4, "requests that the host takes, and answers, at a time", low=1, high=64, scale="log2")
    host_cores: int = param(2, "cores that the vCPU and the host's worker share", low=1, high=256)
    service_ns: int = param(4000, "how long the host works on a request", unit="ns", low=0, high=10_000_000, scale="log2")
    requests: int = param(48, "requests in all", low=1, high=100_000)
    costs: str = param("server-2022", "cost preset")

    def check(self) -> "QueueParams":
        """ValueError names the parameter, its value and what is allowed."""
        params.check(self)
        if self.entries & self.entries - 1:
            raise ValueError(f"entries {self.entries}: a power of two, 8 to 256")
        needed = self.pieces + 2
        if needed > self.entries and not self.indirect:
            raise ValueError(f"pieces {self.pieces}: {needed} descriptors for each request, and the queue has {self.entries}; fewer pieces, or indirect")
        return self


@dataclass(frozen=True)
class QueueResult(LoadCounts):
    """Counts."""

    params: QueueParams
    kicks: int          # guest to host: each is an exit
    slots: int          # descriptors of the ring that all requests took together
    most_slots: int     # that were taken at once
    most_requests: int  # in flight at once
    looks: dict[str, int]   # reads and writes of rings and tables, by side: "driver", "device"


class Side:
    """One side's view of memory that both share: bytes by address, and how often this side has looked or written."""

    def __init__(self, shared: bytearray) -> None:
        self.bytes, self.accesses = shared, 0

    def read(self, address: int, length: int) -> bytes:
        """Return `length` bytes from `address`."""
        self.accesses += 1
        return bytes(self.bytes[address:address + length])

    def write(self, address: int, data: Buffer) -> None:
        """Store `data` at `address`."""
        self.accesses += 1
        self.bytes[address:address + len(data)] = data


def halves(form: str, entries: int, indirect: bool, event_idx: bool) -> tuple[DriverQueue, SplitQueue | PackedQueue]:
    """Return the driver's half and the device's half of a queue, each with its own view of the memory between them."""
    shared, places = bytearray(TABLES + entries * DriverQueue.TABLE_BYTES), (DESCRIPTORS, DRIVER, DEVICE)
    driver, device = (PackedDriver, PackedQueue) if form == "packed" else (SplitDriver, SplitQueue)
    return (driver(Side(shared), entries, *places, tables=TABLES if indirect else None, event_idx=event_idx),
            device(Side(shared), entries, *places, indirect=indirect, event_idx=event_idx))


def run(params: QueueParams) -> QueueResult:
    """Run all requests; a `QueueResult`."""
    return _Load(params.check()).result()


class _Load(Load):
    """One queue: the guest is a process, and so is the host's worker."""

    def __init__(self, params: QueueParams) -> None:
        super().__init__(params.costs, params.host_cores)
        self.params = params
        self.driver, self.device = halves(params.virtqueue, params.entries, params.indirect, params.event_idx)
        self.sides = {"driver": self.driver.memory, "device": self.device.memory}
        self.sent = self.interrupts = self.slots = self.most_slots = self.most_requests = self._unheard = 0
        self._kicked = False
        self._worker_sleeps: Event | None = None

    def result(self) -> QueueResult:
        """Run to the end."""
        self.env.process(self._work())
        self.env.run(self.env.process(self._guest()))
        return QueueResult(self.env.now, self.interrupts, self.full, self.params, self.driver.kicks, self.slots, self.most_slots, self.most_requests,
                           {name: side.accesses for name, side in self.sides.items() if isinstance(side, Side)})

    # The guest.

    def _guest(self) -> Steps[None]:
        params, costs, cores, driver = self.params, self.costs, self.host.cores, self.driver
        kick_ns = costs.access_ns("hypervisor", True)
        driver.sleep()
        while self.done < params.requests:
            while self.sent < params.requests and self.sent - self.done < params.queue_depth:
                yield from cores.work(costs.guest_request_ns)
                if not self._add():
                    break
                if driver.publish():
                    self._kick()
                    yield from cores.work(kick_ns)
            yield from self.sleep()
            self._drain()

    def _add(self) -> bool:
        """Lend the next request.  False: too few descriptors are free."""
        before = self.driver.free
        try:
            self.driver.add([(BUFFERS, HEADER)], [*[(BUFFERS, PIECE)] * self.params.pieces, (BUFFERS, STATUS)], self.sent)
        except QueueFull:
            self.full += 1
            return False
        self.sent += 1
        self.slots += before - self.driver.free
        self.most_slots = max(self.most_slots, self.driver.size - self.driver.free)
        self.most_requests = max(self.most_requests, self.sent - self.done)
        return True

    def _drain(self) -> None:
        """Take answers, ask for an interrupt for the next one, and look again."""
        while True:
            self.driver.awake()
            while self.driver.reap() is not None:
                self.done += 1
            if not self.driver.sleep():
                return

    def _kick(self) -> None:
        self._kicked = True
        if self._worker_sleeps is not None and not self._worker_sleeps.triggered:
            self._worker_sleeps.succeed()

    # The host.

    def _work(self) -> Steps[None]:
        device, cores, costs = self.device, self.host.cores, self.costs
        device.rest()
        while True:
            if not self._kicked:
                self._worker_sleeps = self.env.event()
                yield self._worker_sleeps
            self._kicked = False
            yield from cores.work(costs.worker_wakeup_ns)
            more = True
            while more:
                device.awake()
                while chains := self._take():
                    yield from cores.work(costs.host_request_ns * len(chains))
                    for chain in chains:
                        self.env.process(self._serve(chain))
                more = device.rest()

    def _take(self) -> list[Chain]:
        found: list[Chain] = []
        while len(found) < self.params.batch and (chain := self.device.take()) is not None:
            found.append(chain)
        return found

    def _serve(self, chain: Chain) -> Steps[None]:
        yield from self.host.cores.work(self.params.service_ns)
        self.device.put(chain, chain.space)
        self._unheard += 1
        if self._unheard < self.params.batch and self.device.in_flight:
            return
        self._unheard = 0
        if self.device.must_interrupt():
            self.interrupts += 1
            self.interrupt()
