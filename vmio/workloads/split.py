"""The requests of a disk workload through a split driver: StorVSC, ring, StorVSP, the host's NVMe disk.

Up to `queue_depth` requests are in flight.  Requests that touch the same sectors
keep their order, a flush waits for the writes before it; everything else may be
done in any order, and the digest is still over the bytes in the requests' order.
"""

from collections import deque

from vmio.drivers.pages import GuestPages
from vmio.drivers.storvsc import StorVsc
from vmio.drivers.vmbus import VmBusClient
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.host import Host
from vmio.machine.memory import PAGE
from vmio.machine.overlay import Overlay
from vmio.machine.storage import SECTOR
from vmio.vmbus.hypercalls import enable_enlightenments
from vmio.vmbus.ring import READ, WRITE
from vmio.vmbus.scsi import ScsiTarget
from vmio.vmbus.server import VmbusServer
from vmio.vmbus.storvsp import StorVsp
from vmio.workloads import trace
from vmio.workloads.disk import GuestRun, result
from vmio.workloads.physical import PhysicalDisk

DRIVER_PAGES = 1 << 20     # guest-physical: the drivers' pages, rings among them
BUFFERS = 16 << 20         # guest-physical: where requests have their data
MOST_BUFFER = 256 << 20    # bytes of buffers a guest has: large requests are fewer at a time


def run_split(params, requests, image):
    """Run `requests` in each guest, on its own difference disk over `image`; a `DiskResult`."""
    size = max(-(-max((r.sectors for r in requests), default=1) * SECTOR // PAGE) * PAGE, PAGE)
    depth = max(1, min(params.queue_depth, len(requests), MOST_BUFFER // size))
    ram_mib = (BUFFERS + depth * size >> 20) + 1
    host = Host(memory_mib=params.guests * (ram_mib + 4) + 16, costs=CostModel.preset(params.costs),
                cores=params.host_cores)
    media = [Overlay(image) for _ in range(params.guests)]
    disk = PhysicalDisk(host, media)
    runs = [SplitRun(host, params, medium, requests, ram_mib, backend, depth, size)
            for medium, backend in zip(media, disk.slices)]
    host.run(*[(run.cpu, run.program) for run in runs])
    return result(params, requests, runs)


class SplitRun(GuestRun):
    """One guest with its bus, its controller on the host, and its driver.  `depth` buffers of `size` bytes."""

    def __init__(self, host, params, image, requests, ram_mib, backend, depth, size):
        super().__init__(host, params, image, requests, ram_mib)
        enable_enlightenments(self.guest)
        self.vsp = StorVsp(host, self.guest, {0: (ScsiTarget(image.sectors), backend)}, batch=params.batch)
        self.vsp.offer(VmbusServer(self.guest))
        self._free = [BUFFERS + n * size for n in range(depth)]
        self._active = {}              # row -> (first sector, end, is it a write, buffer)
        self._writes = 0
        self._order = deque()          # reads that the digest has not seen yet
        self._data = {}                # row -> bytes, of reads that are over before their turn

    def program(self, cpu):
        """The guest: bring up bus and disk, then the requests."""
        client = VmBusClient(cpu, GuestPages(DRIVER_PAGES, BUFFERS))
        yield from client.connect()
        channel, = yield from client.request_offers()
        disk = self.disk = StorVsc(client, channel, self.params.ring_kib, self.params.signals)
        yield from disk.init()
        yield from cpu.pay()
        self.start(cpu)
        signals = self.vsp.channel.signals
        steps = self._record_rings(cpu)
        one_by_one = self.params.signals != "batch"
        for row, request in enumerate(self.requests):
            while not self._may_start(request):
                yield from self._wait(cpu)
            cpu.compute(self.costs.guest_request_ns)
            if one_by_one:
                yield from cpu.pay()      # the host sees it at once: let it be where we are
            self._submit(cpu, row, request)
        while self._active:
            yield from self._wait(cpu)
        self.signals = self.vsp.channel.signals - signals
        self.rings = {name: _occupancy(log, self.started) for name, log in steps.items()}

    def _may_start(self, request):
        """Is a buffer free, and does it meet nothing that must be over first?"""
        if not self._free:
            return False
        op, lba, sectors = request
        if op == "F" or not self._writes and op == "R":
            return not (op == "F" and self._writes)
        end = lba + sectors
        return not any((writes or op == "W") and lba < other_end and other < end
                       for other, other_end, writes, _ in self._active.values())

    def _submit(self, cpu, row, request):
        op, lba, sectors = request
        buffer = self._free.pop()
        self._active[row] = lba, lba + sectors, op == "W", buffer
        self.bytes += sectors * SECTOR
        if op == "R":
            self._order.append(row)
            self.disk.submit("read", lba, sectors, buffer, row)
        elif op == "W":
            self._writes += 1
            cpu.write(buffer, trace.payload(row, sectors))
            self.disk.submit("write", lba, sectors, buffer, row)
        else:
            self.disk.submit("flush", 0, 0, 0, row)

    def _wait(self, cpu):
        """Publish what was submitted, sleep, and take what is over."""
        yield from cpu.pay()
        self.disk.flush_ring()
        yield from self.disk.wait()
        for row, error in self.disk.reap():
            if error is not None:
                raise error
            self._over(cpu, row)

    def _over(self, cpu, row):
        lba, end, writes, buffer = self._active.pop(row)
        if writes:
            self._writes -= 1
        elif end > lba:
            self._data[row] = cpu.read(buffer, (end - lba) * SECTOR)
            while self._order and self._order[0] in self._data:
                data = self._data.pop(self._order.popleft())
                self.digest.update(data)
                self.bytes_read += len(data)
        self._free.append(buffer)

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
