"""A disk by split drivers: StorVSC in the guest, StorVSP on the host, the host's NVMe disk behind it."""

from vmio.drivers.storvsc import StorVsc
from vmio.host.physical import PhysicalDisk
from vmio.vmbus.storage.scsi import ScsiTarget
from vmio.vmbus.storage.storvsp import StorVsp


class SplitDisk:
    """`ring_kib` and `signals` are the guest driver's options (`StorVsc`), `options` the host's (`StorVsp`).

    The guest waits for interrupts, or is `polled`; with `delivery` "posted" the
    processor virtualizes its APIC, and the end of an interrupt is no exit.
    """

    driver_memory = 16 << 20
    in_memory = True

    def __init__(self, ring_kib=128, signals="batch", polled=False, delivery="injected", **options):
        self.ring_kib, self.signals, self.polled, self.options = ring_kib, signals, polled, options
        self.virtual_apic = delivery == "posted"
        self.device_spans, self.copy_spans = [], []

    @staticmethod
    def backends(host, media):
        """Return the parts of one physical disk that holds all `media`, which must have one size."""
        return PhysicalDisk(host, media).slices

    def plug(self, platform, backend):
        """Offer a SCSI controller with one disk on the guest's bus."""
        self.platform = platform
        platform.virtual_apic = platform.virtual_apic or self.virtual_apic
        watched = _Watched(platform.host.env, backend, self.device_spans)
        self.vsp = StorVsp(platform.host, platform.guest, {0: (ScsiTarget(backend.sectors, unmap=True), watched)},
                           number=platform.number(), **self.options)
        self.vsp.offer(platform.bus)

    def boot(self, cpu, pages):
        """Bring up the bus and the disk; a generator that returns a `StorVsc`."""
        client, channel = yield from self.platform.channel(cpu, pages, self.vsp)
        disk = StorVsc(client, channel, self.ring_kib, self.signals)
        yield from disk.init()
        disk.polled = self.polled
        return disk


class _Watched:
    """A backend that notes from when until when it had each request."""

    def __init__(self, env, backend, spans):
        self.env, self.backend, self.spans = env, backend, spans

    def submit(self, guest, kind, lba, sectors, pages, done):
        """As the backend's."""
        start = self.env.now

        def over(status):
            self.spans.append((start, self.env.now))
            done(status)
        self.backend.submit(guest, kind, lba, sectors, pages, over)
