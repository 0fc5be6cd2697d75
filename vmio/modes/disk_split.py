"""A disk by split drivers: StorVSC in the guest, StorVSP on the host, the host's NVMe disk behind it."""

from collections.abc import Callable, Sequence
from typing import Any

from vmio.drivers.confidential.swiotlb import DEFAULT_KIB, check_kib
from vmio.drivers.pages import GuestPages
from vmio.drivers.storvsc import StorVsc
from vmio.host.physical import PhysicalDisk, Slice
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.inflight import after
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.clock import Timers
from vmio.machine.contracts import SectorStore
from vmio.machine.media.medium import serial_of
from vmio.machine.probes import watch
from vmio.modes.on_bus import OnBus
from vmio.modes.platform import Platform
from vmio.vmbus.bus.monitor_page import LATENCY
from vmio.vmbus.storage import checkpoint as storage
from vmio.vmbus.storage import vstor as v
from vmio.vmbus.storage.scsi import SERIAL, ScsiTarget
from vmio.vmbus.storage.storvsp import StorVsp

OTHER_MIB = 4     # of a driver's memory: all that are no rings
LEAST = 5 << 18   # the same where it is short: the first MiB, which no driver uses, and a quarter for messages and tables
SPLIT = Form("split disk", 1, "options", "vsp")
MIB = 1 << 20
DOORBELLS = ("hypercall", "monitor")


class SplitDisk(OnBus):
    """`ring_kib`, `signals` and `asks`, its versions, are the guest driver's options (`StorVsc`), `options` the host's (`StorVsp`).

    The guest waits for interrupts, or is `polled`.  It has up to `channels`, each
    bound to a vCPU of its own (None: one for each vCPU).  Its `doorbell` is a "hypercall", or
    a bit in the "monitor" page at which the host looks every 100 us.  A driver that is not `roomy`
    has no more memory than it needs, so that machines of many guests fit into small computers.  `confidential`: the guest's RAM is
    its own, and its drivers copy data by way of a bounce pool of `pool_kib`.
    """

    in_memory = True
    for_each_vcpu = True
    host_half = StorVsp      # a subclass may have another

    def __init__(self, ring_kib: int = 128, signals: str = "batch", polled: bool = False, channels: int | None = None,
                 doorbell: str = "hypercall", roomy: bool = True, asks: Sequence[int] = v.LINUX_VERSIONS, confidential: bool = False,
                 pool_kib: int = DEFAULT_KIB, **options: Any) -> None:
        if doorbell not in DOORBELLS:
            raise ValueError(f"doorbell {doorbell!r}: choose one of {', '.join(DOORBELLS)}")
        self.ring_kib, self.signals, self.polled, self.options = ring_kib, signals, polled, options
        self.channels, self.monitored, self.asks = channels, doorbell == "monitor", asks
        rings = (channels or 1) * 2 * ring_kib << 10
        self.driver_memory = max(16, OTHER_MIB + -(-rings // MIB)) * MIB if roomy else LEAST + rings
        self.confidential, self.pool_kib = confidential, pool_kib
        if confidential:
            self.driver_memory += check_kib(pool_kib) << 10

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[Slice]:
        """Return the parts of one physical disk that holds all `media`, which must have one size."""
        return PhysicalDisk(host, media).slices

    def plug(self, platform: Platform, backend: Slice) -> None:
        """Offer a SCSI controller with one disk on the guest's bus."""
        self.platform, self.backend = platform, backend
        platform.monitored |= self.monitored
        if self.confidential:
            platform.need_pool(self.pool_kib)
        bus = platform.bus            # first: a guest's end is refused for its requests before its channels
        self.number = platform.number()
        self.vsp = self.host_half(platform.host, platform.guest, {0: (ScsiTarget(backend.sectors, unmap=True, serial=serial_of(backend, SERIAL)), backend)},
                           number=self.number, max_subchannels=self.channels and self.channels - 1,
                           monitor_latency=LATENCY if self.monitored else None, **self.options)
        self.vsp.offer(bus)

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: what the disk does for this guest; its data is moved by the disk itself."""
        watch(self.backend, "served", served)

    def timers(self) -> Timers:
        """See `Attachment`."""
        return []

    def save(self, saving: Saving) -> State:
        """See `Attachment`."""
        return SPLIT.state(options=self._options, vsp=storage.save(self.vsp, saving))

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        saved = SPLIT.take(state)
        same("split disk, options", saved["options"], self._options)
        storage.restore(self.vsp, saved["vsp"], restoring)

    @property
    def _options(self) -> list:
        return [self.ring_kib, self.signals, self.polled, self.channels, self.monitored, list(self.asks), self.options]

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[StorVsc]:
        """Bring up the bus and the disk; a generator that returns a `StorVsc`."""
        client, channel = yield from self.platform.channel(cpu, pages, self.vsp)
        self.disk = disk = StorVsc(client, channel, self.ring_kib, self.signals, versions=self.asks)
        yield from disk.init()
        for queue in (disk, *disk.further):
            queue.polled = self.polled
        self.luns = disk.identity.luns
        return disk

    # While the guest runs; see `Removable`.

    @staticmethod
    def later(host: Host, medium: SectorStore, ready: Callable[[Any], None]) -> None:
        """See `Removable`: the medium is on a physical disk of its own."""
        disk = PhysicalDisk(host, [medium], ready=lambda: ready(disk.slices[0]))

    @property
    def offered(self) -> StorVsp:
        """What the guest finds on its bus."""
        return self.vsp

    def take_away(self, done: Callable[[], None], at_once: bool) -> None:
        """Take the controller, with all of its units: requests that are under way are carried out, and answered to nobody."""
        self.vsp.server.rescind(self.vsp.channel)  # type: ignore[union-attr, arg-type]  # it was offered

        def over() -> None:
            self.vsp.removed()
            done()
        after(self.vsp.under_way.drained(), over)

    def grow(self, sectors: int) -> None:
        """Let the disk have so many sectors, and say so to the guest.  ValueError, with nothing changed, if it can't."""
        if not isinstance(self.backend, Slice) or self.backend.disk is None:
            raise ValueError(f"disk of {self.platform.guest.name}: {type(self.backend).__name__} can't grow")
        self.backend.disk.grow(self.backend, sectors)
        self.vsp.disks[0][0].grow(sectors)

    def goes(self) -> Steps[bool]:
        """For the guest: has it been told that the disk is gone?"""
        return self.disk.channel.rescinded
        yield

    def units(self) -> Steps[tuple[int, ...]]:
        """For the guest: the LUNs of the controller's units; it asks for them when it has been told that something changed."""
        if self.disk.bus_changed:
            self.luns = yield from self.disk.scan()
        return self.luns

    def leave(self, cpu: VCpu) -> Steps[None]:
        """Let go of it, on the guest's side; a generator."""
        yield from self.disk.let_go()
