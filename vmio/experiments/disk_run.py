"""One guest with a disk in any mode: its requests, up to `depth` in flight, and what it measured.

Requests that touch the same sectors keep their order, a flush waits for the writes
before it; everything else may be done in any order, and the digest is still over
the bytes in the requests' order.
"""

import hashlib
from collections import deque

from vmio.drivers.pages import GuestPages
from vmio.experiments import times, trace
from vmio.experiments.inflight import Ranges
from vmio.machine.clock import NEVER
from vmio.machine.memory import PAGE
from vmio.machine.probes import watch
from vmio.machine.storage import SECTOR
from vmio.modes.machine import DRIVER_PAGES
from vmio.modes.platform import Platform

CANARY = 0x600             # guest-physical: no driver here uses the first 4 KiB
MOST_BUFFER = 256 << 20    # bytes of buffers a guest has: large requests are fewer at a time


def needed(attachment, requests, queue_depth):
    """Return (bytes of a buffer, number of buffers, MiB of RAM) that a guest with this attachment needs."""
    size = max(-(-max((r.sectors for r in requests if r.op != "D"), default=1) * SECTOR // PAGE) * PAGE, PAGE)
    depth = max(1, min(queue_depth, len(requests), MOST_BUFFER // size))
    return size, depth, (attachment.driver_memory + depth * size >> 20) + 1


class DiskRun:
    """A guest of `host` with the disk that `attachment` brings to it; `depth` buffers of `size` bytes.

    `one_by_one`: each request is seen by the other side at once, not when the guest waits.
    """

    def __init__(self, host, attachment, backend, image, requests, room, one_by_one=False):
        size, depth, ram_mib = room
        self.image, self.requests, self.host, self.one_by_one = image, requests, host, one_by_one
        self.guest = host.guest(ram_mib=ram_mib)
        self.costs, self.cpu = host.costs, self.guest.cpu
        self.attachment, self.disk = attachment, None
        self.digest = hashlib.sha256()
        self.bytes = self.bytes_read = self.not_issued = 0
        self.latencies = []
        self.times_ns = None           # when each request comes after the set-up, or None: as soon as it may
        first = attachment.driver_memory
        self._free = [first + n * size for n in range(depth)]
        self._active = {}              # row -> (first sector, end, is it a write, buffer)
        self._asked = {}               # row -> when the guest began with it
        self._writes = 0
        self._reading, self._writing = Ranges(), Ranges()
        self._only_reads = all(request.op in "RF" for request in requests)
        self._order = deque()          # reads that the digest has not seen yet
        self._data = {}                # row -> bytes, of reads that are over before their turn
        self.guest.memory.write(CANARY, self._canary)
        attachment.plug(Platform(self.guest), backend)
        self.served, self.copies, self.sleeps = [], [], []     # (from, until) in ns each
        attachment.watch(self.served.append, self.copies.append)

    def program(self, cpu):
        """The guest: bring the disk up, then the requests."""
        pages = GuestPages(DRIVER_PAGES, max(self.attachment.driver_memory, DRIVER_PAGES + PAGE))
        self.disk = yield from self.attachment.boot(cpu, pages)
        yield from cpu.pay()
        self.start(cpu)
        yield from self.serve(cpu)

    # Measuring.

    def start(self, cpu):
        """Set-up is over: count from here."""
        self.started, self.setup = cpu.now, {id(row): (row.count, row.total_ns) for row in cpu.exits.rows}
        self.setup_exits = cpu.exits.total
        self.setup_compute, self.setup_idle, self.setup_interrupts = cpu.compute_ns, cpu.idle_ns, cpu.interrupts
        self.setup_copied, self.setup_busy = self._copied_in_exits, self.host.busy_ns
        watch(cpu, "slept", self.sleeps.append)

    @property
    def _canary(self):
        return f"canary of {self.guest.name}".encode().ljust(32, b".")

    @property
    def canary_lives(self):
        """The bytes that nobody but this guest can know are still in its memory."""
        return self.guest.memory.read(CANARY, 32) == self._canary

    def counted(self, key):
        """Exits since set-up, by `key(row)`."""
        counts = {}
        for row in self.cpu.exits.rows:
            count = row.count - self.setup.get(id(row), (0, 0))[0]
            if count:
                counts[key(row)] = counts.get(key(row), 0) + count
        return counts

    @property
    def exit_ns(self):
        """Time in exits since set-up."""
        return sum(row.total_ns - self.setup.get(id(row), (0, 0))[1] for row in self.cpu.exits.rows)

    @property
    def _copied_in_exits(self):
        return sum(row.extra_ns for row in self.cpu.exits.rows)   # string I/O: the hypervisor moves the block

    def parts(self):
        """Where this guest's time since set-up went."""
        cpu = self.cpu
        return times.parts(cpu.now - self.started, cpu.compute_ns - self.setup_compute, self.exit_ns,
                           self._copied_in_exits - self.setup_copied, self.sleeps, self.served, self.copies)

    # Requests.

    def serve(self, cpu):
        """All requests."""
        for row, request in enumerate(self.requests):
            if request.op == "D" and not self.disk.discards:
                self.not_issued += 1      # as Linux does: a disk that doesn't announce it is not asked
                continue
            came = None if self.times_ns is None else self.started + self.times_ns[row]
            while came is not None and cpu.now < came:
                yield from self._wait(cpu, came)
            while not self._may_start(request):
                yield from self._wait(cpu)
            self._asked[row] = cpu.now if came is None else came
            cpu.compute(self.costs.guest_request_ns)
            if self.one_by_one:
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
        return not (self._writing.meet(lba, end) or op in "WD" and self._reading.meet(lba, end))

    def _submit(self, cpu, row, request):
        op, lba, sectors = request
        buffer = self._free.pop()
        self._active[row] = lba, lba + sectors, op in "WD", buffer
        self.bytes += sectors * SECTOR if op in "RW" else 0
        if op == "R":
            self._order.append(row)
            if not self._only_reads:
                self._reading.add(lba, lba + sectors)
            self.disk.submit("read", lba, sectors, buffer, row)
        elif op in "WD":
            self._writes += 1
            self._writing.add(lba, lba + sectors)
            if op == "W":
                cpu.write(buffer, trace.payload(row, sectors))
            self.disk.submit("write" if op == "W" else "discard", lba, sectors, buffer, row)
        else:
            self.disk.submit("flush", 0, 0, 0, row)

    def _wait(self, cpu, until=NEVER):
        """Publish what was submitted, sleep until something is over or the time is `until`, and take what is over."""
        if self.attachment.in_memory:
            yield from cpu.pay()
        self.disk.flush_ring()
        yield from self.disk.wait(until)
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
