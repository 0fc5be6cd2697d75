"""A disk by split drivers: StorVSC in the guest, StorVSP on the host, the host's NVMe disk behind it."""

from collections.abc import Sequence
from typing import Any

from vmio.drivers.pages import GuestPages
from vmio.drivers.storvsc import StorVsc
from vmio.host.physical import PhysicalDisk
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.media.medium import Medium
from vmio.machine.probes import watch
from vmio.modes.platform import Platform
from vmio.vmbus.storage.scsi import ScsiTarget
from vmio.vmbus.storage.storvsp import StorVsp


class SplitDisk:
    """`ring_kib` and `signals` are the guest driver's options (`StorVsc`), `options` the host's (`StorVsp`).

    The guest waits for interrupts, or is `polled`.
    """

    driver_memory = 16 << 20
    in_memory = True

    def __init__(self, ring_kib: int = 128, signals: str = "batch", polled: bool = False, **options: Any) -> None:
        self.ring_kib, self.signals, self.polled, self.options = ring_kib, signals, polled, options

    @staticmethod
    def backends(host: Host, media: Sequence[Medium]) -> Sequence[Any]:
        """Return the parts of one physical disk that holds all `media`, which must have one size."""
        return PhysicalDisk(host, media).slices

    def plug(self, platform: Platform, backend: Any) -> None:
        """Offer a SCSI controller with one disk on the guest's bus."""
        self.platform, self.backend = platform, backend
        bus = platform.bus            # first: a guest's end is refused for its requests before its channels
        self.vsp = StorVsp(platform.host, platform.guest, {0: (ScsiTarget(backend.sectors, unmap=True), backend)},
                           number=platform.number(), **self.options)
        self.vsp.offer(bus)

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: what the disk does for this guest; its data is moved by the disk itself."""
        watch(self.backend, "served", served)

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[StorVsc]:
        """Bring up the bus and the disk; a generator that returns a `StorVsc`."""
        client, channel = yield from self.platform.channel(cpu, pages, self.vsp)
        disk = StorVsc(client, channel, self.ring_kib, self.signals)
        yield from disk.init()
        disk.polled = self.polled
        return disk
