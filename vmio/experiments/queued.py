"""A guest that has several requests of a disk workload in flight, whatever its disk is.

Up to `queue_depth` requests are in flight.  Requests that touch the same sectors
keep their order, a flush waits for the writes before it; everything else may be
done in any order, and the digest is still over the bytes in the requests' order.
"""

from collections import deque

from vmio.experiments import trace
from vmio.experiments.disk import GuestRun
from vmio.experiments.inflight import Ranges
from vmio.machine.memory import PAGE
from vmio.machine.storage import SECTOR

DRIVER_PAGES = 1 << 20     # guest-physical: the drivers' pages, rings among them
BUFFERS = 16 << 20         # guest-physical: where requests have their data
MOST_BUFFER = 256 << 20    # bytes of buffers a guest has: large requests are fewer at a time


def room(params, requests):
    """(bytes of a buffer, number of buffers, MiB of RAM) that a guest needs."""
    size = max(-(-max((r.sectors for r in requests), default=1) * SECTOR // PAGE) * PAGE, PAGE)
    depth = max(1, min(params.queue_depth, len(requests), MOST_BUFFER // size))
    return size, depth, (BUFFERS + depth * size >> 20) + 1


class QueuedRun(GuestRun):
    """`disk` has `StorVsc`'s methods submit, flush_ring, wait and reap.  `depth` buffers of `size` bytes."""

    def __init__(self, host, params, image, requests, ram_mib, depth, size):
        super().__init__(host, params, image, requests, ram_mib)
        self.disk = None
        self._free = [BUFFERS + n * size for n in range(depth)]
        self._active = {}              # row -> (first sector, end, is it a write, buffer)
        self._asked = {}               # row -> when the guest began with it
        self._writes = 0
        self._reading, self._writing = Ranges(), Ranges()
        self._only_reads = all(request.op in "RF" for request in requests)
        self._order = deque()          # reads that the digest has not seen yet
        self._data = {}                # row -> bytes, of reads that are over before their turn

    def serve(self, cpu, one_by_one=False):
        """All requests; `one_by_one`: each is seen by the other side at once, not when the guest waits."""
        for row, request in enumerate(self.requests):
            while not self._may_start(request):
                yield from self._wait(cpu)
            self._asked[row] = cpu.now
            cpu.compute(self.costs.guest_request_ns)
            if one_by_one:
                yield from cpu.pay()      # let the others be where we are
            self._submit(cpu, row, request)
        while self._active:
            yield from self._wait(cpu)

    def _may_start(self, request):
        """Is a buffer free, and does it meet nothing that must be over first?"""
        if not self._free:
            return False
        op, lba, sectors = request
        if op == "F" or not self._writes and op == "R":
            return not (op == "F" and self._writes)
        end = lba + sectors
        return not (self._writing.meet(lba, end) or op == "W" and self._reading.meet(lba, end))

    def _submit(self, cpu, row, request):
        op, lba, sectors = request
        buffer = self._free.pop()
        self._active[row] = lba, lba + sectors, op == "W", buffer
        self.bytes += sectors * SECTOR
        if op == "R":
            self._order.append(row)
            if not self._only_reads:
                self._reading.add(lba, lba + sectors)
            self.disk.submit("read", lba, sectors, buffer, row)
        elif op == "W":
            self._writes += 1
            self._writing.add(lba, lba + sectors)
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
        self.latencies.append(cpu.now - self._asked.pop(row))
        if writes:
            self._writes -= 1
            self._writing.remove(lba, end)
        elif end > lba:
            if not self._only_reads:
                self._reading.remove(lba, end)
            self._data[row] = cpu.read(buffer, (end - lba) * SECTOR)
            while self._order and self._order[0] in self._data:
                data = self._data.pop(self._order.popleft())
                self.digest.update(data)
                self.bytes_read += len(data)
        self._free.append(buffer)
