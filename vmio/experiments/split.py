"""The requests of a disk workload through a split driver: StorVSC, ring, StorVSP, the host's NVMe disk."""

from vmio.drivers.pages import GuestPages
from vmio.drivers.storvsc import StorVsc
from vmio.drivers.vmbus import VmBusClient
from vmio.experiments.disk import result
from vmio.experiments.queued import BUFFERS, DRIVER_PAGES, QueuedRun, room
from vmio.host.physical import PhysicalDisk
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.host import Host
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.machine.overlay import Overlay
from vmio.vmbus.bus.ring import READ, WRITE
from vmio.vmbus.bus.server import VmbusServer
from vmio.vmbus.storage.scsi import ScsiTarget
from vmio.vmbus.storage.storvsp import StorVsp


def run_split(params, requests, image, meanwhile=None):
    """Run `requests` in each guest, on its own difference disk over `image`; a `DiskResult`.

    `meanwhile(host, runs)` is what the host's administrator does at the same time: a
    process of the simulation.
    """
    size, depth, ram_mib = room(params, requests)
    host = Host(memory_mib=params.guests * (ram_mib + 4) + 16, costs=CostModel.preset(params.costs),
                cores=params.host_cores)
    media = [Overlay(image) for _ in range(params.guests)]
    disk = PhysicalDisk(host, media)
    runs = [SplitRun(host, params, medium, requests, ram_mib, backend, depth, size)
            for medium, backend in zip(media, disk.slices)]
    if meanwhile is not None:
        host.env.process(meanwhile(host, runs))
    host.run(*[(run.cpu, run.program) for run in runs])
    return result(params, requests, runs)


class SplitRun(QueuedRun):
    """One guest with its bus, its controller on the host, and its driver.  `depth` buffers of `size` bytes."""

    def __init__(self, host, params, image, requests, ram_mib, backend, depth, size):
        super().__init__(host, params, image, requests, ram_mib, depth, size)
        enable_enlightenments(self.guest, virtual_apic=params.delivery == "posted")
        watched = _Watched(host.env, backend, self.device_spans)
        self.vsp = StorVsp(host, self.guest, {0: (ScsiTarget(image.sectors), watched)}, batch=params.batch)
        self.vsp.offer(VmbusServer(self.guest))

    def program(self, cpu):
        """The guest: bring up bus and disk, then the requests."""
        client = VmBusClient(cpu, GuestPages(DRIVER_PAGES, BUFFERS))
        yield from client.connect()
        channel, = yield from client.request_offers()
        disk = self.disk = StorVsc(client, channel, self.params.ring_kib, self.params.signals)
        yield from disk.init()
        disk.polled = not self.params.interrupts
        yield from cpu.pay()
        self.start(cpu)
        signals = self.vsp.channel.signals
        steps = self._record_rings(cpu)
        yield from self.serve(cpu, one_by_one=self.params.signals != "batch")
        self.signals = self.vsp.channel.signals - signals
        self.rings = {name: _occupancy(log, self.started) for name, log in steps.items()}

    def _record_rings(self, cpu):
        """Log each change of both rings from now on: {name: [(ns, bytes put in or taken out), ...]}."""
        guest, host, env = self.disk.end, self.vsp.worker.end, cpu.env
        logs = {"to the host": [], "to the guest": []}
        for end, log, index, sign, now in (
                (guest.outgoing, logs["to the host"], WRITE, 1, lambda: cpu.now),
                (host.incoming, logs["to the host"], READ, -1, lambda: env.now),
                (host.outgoing, logs["to the guest"], WRITE, 1, lambda: env.now),
                (guest.incoming, logs["to the guest"], READ, -1, lambda: cpu.now)):
            end.recorder = _recorder(end, log, index, sign, now)
        return logs


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


def _recorder(end, log, index, sign, now):
    """A ring's recorder that logs by how much one side's own index has moved."""
    load, size, last = end.memory.load32, end.size, end.memory.load32(index)

    def record(_used):
        nonlocal last
        at = load(index)
        if at != last:
            log.append((now(), sign * ((at - last) % size)))
            last = at
    return record


def _occupancy(log, started):
    """[(ns since `started`, used bytes), ...] from both sides' changes, in the order in which they were made.

    The sides' clocks may be a few exits apart; what came later is not drawn earlier.
    """
    used, steps = 0, [(0, 0)]
    for when, change in log:
        used += change
        steps.append((max(when - started, steps[-1][0]), used))
    return steps
