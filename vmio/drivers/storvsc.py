"""StorVSC, the guest's half of a split disk: it writes requests into shared memory, and that is all it does.

    disk = StorVsc(client, channel)
    yield from disk.init()                       open, agree on a protocol, ask the disk what it is
    yield from disk.read(lba, sectors, gpa)      one at a time, or

    yield from cpu.pay()                         many in flight: let the others catch up, then
    disk.submit("read", lba, sectors, gpa, tag)
    disk.flush_ring()
    yield from disk.wait()
    for tag, error in disk.reap(): ...

How requests go and come is in `storvsc_queue.py`, the start-up in `storvsc_start.py`, sub-channels in `storvsc_channels.py`.
The order is Linux's: drivers/scsi/storvsc_drv.c, scsi_scan.c, sd.c.
"""

from collections.abc import Sequence

from vmio.drivers import channels, storvsc_channels, storvsc_start
from vmio.drivers.errors import DriverError
from vmio.drivers.scsi_probe import Ask, Identity, capacity, probe, report_luns
from vmio.drivers.storvsc_queue import StorQueue
from vmio.drivers.storvsc_shared import SharedQueue
from vmio.drivers.vmbus import GuestChannel, VmBusClient
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.vmbus.storage import vstor as v

QUEUE_DEPTH = 256              # requests in the ring at a time; the others wait here
LOOK_NS = 20_000               # between two looks at another vCPU's queue
SIGNALS = ("always", "each", "batch")


class StorVsc(StorQueue):
    """The disk at `lun` behind an offered SCSI `channel` of `client` (a `VmBusClient`).

    `ring_kib` is the size of each ring, its control page included.  `signals`:
    "batch" publishes what was submitted at `flush_ring`, "each" at once, "always"
    also signals each time, whether the host is awake or not.  `versions` of the protocol are tried in their order.

    Requests are of the vCPU `cpu` (default: the client's own).  For each further one that
    is online when it starts, the disk has a queue of its own, `on(cpu)`, if the host allows.
    """

    def __init__(self, client: VmBusClient, channel: GuestChannel, ring_kib: int = 128, signals: str = "batch", lun: int = 0,
                 queue_depth: int = QUEUE_DEPTH, cpu: VCpu | None = None, versions: Sequence[int] = v.LINUX_VERSIONS) -> None:
        if ring_kib % 4 or not 8 <= ring_kib <= 4096:
            raise ValueError(f"ring_kib {ring_kib}: 8 to 4,096, a multiple of 4")
        if signals not in SIGNALS:
            raise ValueError(f"signals {signals!r}: choose one of {', '.join(SIGNALS)}")
        super().__init__(client, channel, ring_kib, signals, lun, queue_depth, cpu or client.cpu)
        self.versions, self.tried = versions, dict[int, bool]()     # tried: version that we asked for -> did the host agree?
        self.further: list[StorQueue] = []   # queues on sub-channels, one each for the other vCPUs
        self._buffer = 0                     # a page, from `init` on

    def init(self) -> Steps:
        """Open the channel, negotiate, probe.  `DriverError` if any of it fails.  Returns the `Identity`."""
        self._buffer = self._buffer or self.client.pages.take()
        yield from self.open()
        self.further = yield from storvsc_channels.open_all(self, (yield from storvsc_start.negotiate(self, self.versions, self.tried)))
        self.identity = yield from probe(self.commands())
        for queue in (self, *self.further):
            queue.learn(self.identity)
        return self.identity

    def rescan(self) -> Steps[Identity]:
        """Ask the disk again how large it is, as it does not say of itself; a generator that returns what is known of it now."""
        sectors, _ = yield from capacity(self.commands())
        self.resized.discard(self.lun)
        for queue in (self, *self.further):
            queue.identity = queue.identity._replace(sectors=sectors)
        return self.identity

    def scan(self) -> Steps[tuple[int, ...]]:
        """Ask the controller which units it has now; a generator that returns their LUNs."""
        self.bus_changed = False
        return (yield from report_luns(self.commands()))

    def commands(self, lun: int | None = None) -> Ask:
        """Return what asks a unit, by way of a page that is this disk's."""
        return storvsc_start.commands(self, self._buffer, lun)

    def set_queues(self, number: int) -> Steps[int]:
        """Have so many channels from now on, at least 1; a generator that returns how many the host and the vCPUs allow.

        One that goes finishes first; its number stays ours, and it may be opened again.  Ask `on(cpu)` again afterwards.
        """
        if number < 1:
            raise ValueError(f"StorVSC: {number} channels; 1 or more")
        while len(self.further) > number - 1:
            queue = self.further[-1]
            while queue.in_flight or queue.waiting:
                yield from self.cpu.hlt(LOOK_NS)           # its answers interrupt another vCPU
            self.further.remove(queue)
            yield from self.client.close(queue.channel)
            queue.give_back()
        if len(self.further) < number - 1:
            more = yield from storvsc_channels.open_all(self, number - 1)
            for queue in more:
                queue.learn(self.identity)
            self.further += more
        return 1 + len(self.further)

    def on(self, cpu: VCpu) -> StorQueue | SharedQueue:
        """Return the queue for the requests of a vCPU: its channel's, or a `SharedQueue` if it has none."""
        return storvsc_channels.queue_of([self, *self.further], cpu)

    def close(self) -> Steps[None]:
        """Close the channels and have the rings' pages back."""
        yield from channels.close_all(self.client, self.channel)
        self._closed()

    def let_go(self) -> Steps[None]:
        """The host has taken the disk away: have the memory back, and release the channels' numbers; a generator."""
        yield from channels.let_go(self.client, self.channel)
        for queue in (self, *self.further):
            queue.give_back()
        self.client.pages.give_back(self._buffer)
        self._buffer = 0
        self._closed()

    def _closed(self) -> None:
        self.further, self.sharers, self.error = [], [], DriverError("StorVSC: closed")
