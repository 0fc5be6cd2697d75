"""One guest with a disk in any mode: its requests, up to `depth` in flight for each vCPU, and what each vCPU measured."""

from collections.abc import Callable, Sequence
from typing import Any

from vmio.drivers import ipi
from vmio.drivers.contracts import DiskDriver
from vmio.experiments import times, trace
from vmio.experiments.ledger import Ledger
from vmio.experiments.mark import Mark
from vmio.experiments.traces.request import Request, Requests
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.clock import NEVER
from vmio.machine.memory import PAGE
from vmio.machine.probes import watch
from vmio.machine.storage import SECTOR
from vmio.modes import Attachment, GuestMachine

CANARY = 0x600             # guest-physical: no driver here uses the first 4 KiB
MAX_BUFFER = 256 << 20    # bytes of buffers a guest has: large requests are fewer at a time


def needed(attachment: Attachment, requests: Requests, queue_depth: int, vcpus: int = 1) -> tuple[int, int, int]:
    """Return (bytes of a buffer, number of buffers a vCPU, MiB of RAM) that a guest with this attachment needs."""
    size = max(-(-max((r.sectors for r in requests if r.op != "D"), default=1) * SECTOR // PAGE) * PAGE, PAGE)
    depth = max(1, min(queue_depth, len(requests), MAX_BUFFER // size // vcpus))
    return size, depth, (attachment.driver_memory + vcpus * depth * size >> 20) + 1


class DiskRun:
    """A `GuestMachine` with a disk as its one device; `needs` is what `needed` says of its buffers.  It is its first vCPU's.

    `one_by_one`: each request is seen by the other side at once, not when the guest waits.
    `first` is the run of the guest's first vCPU, if this is a further one's: all take from one ledger.
    `disk` is the driver, once it is up.
    """

    disk: DiskDriver

    def __init__(self, machine: GuestMachine, requests: Requests, needs: tuple[int, int, int], one_by_one: bool = False,
                 first: "DiskRun | None" = None) -> None:
        size, depth, _ = needs
        attachment, = machine.attachments
        self.first: DiskRun = first or self
        self.lanes: list[DiskRun] = first.lanes if first is not None else []     # of all vCPUs
        self.lanes.append(self)
        number = len(self.lanes) - 1
        self.machine, self.guest, self.cpu, self.host = machine, machine.guest, machine.guest.vcpus[number], machine.host
        self.image, self.requests, self.one_by_one = machine.media[0], requests, one_by_one
        self.costs, self.attachment = self.host.costs, attachment
        self.ledger: Ledger = first.ledger if first is not None else Ledger(requests)
        self.latencies: list[int] = []
        self.times_ns: Sequence[int] | None = None   # when each request comes after the set-up, or None: as soon as it may
        buffers = attachment.driver_memory + number * depth * size
        self._free = [buffers + n * size for n in range(depth)]
        self._active: dict[int, int] = {}   # row -> buffer
        self._asked: dict[int, int] = {}    # row -> when the guest began with it
        self._over_all = self._stays = False
        self.sleeps: list[tuple[int, int]] = []      # (from, until) in ns each, as these:
        self.served: list[tuple[int, int]] = first.served if first is not None else []
        self.copies: list[tuple[int, int]] = first.copies if first is not None else []
        if first is not None:
            return
        self.guest.memory.write(CANARY, self._canary)
        attachment.watch(self.served.append, self.copies.append)

    def program(self, cpu: VCpu) -> Steps:
        """The guest's program on this vCPU: the disk comes up, then the requests."""
        up = self.machine.boot if self is self.first else self.machine.join
        disk, = yield from up(cpu)
        return self.with_disk(cpu, disk)

    def with_disk(self, cpu: VCpu, disk: DiskDriver) -> Steps:
        """What the program is once the disk is up, for a machine that boots by itself (`Machine.start`)."""
        self.disk = disk
        self.start(cpu)
        return self.serve(cpu) if len(self.lanes) == 1 else self._serve_and_stay(cpu)      # the program goes on with it

    def _serve_and_stay(self, cpu: VCpu) -> Steps[None]:
        """Our share of the requests; then, while others need this vCPU's channel, it takes their interrupts."""
        yield from self.serve(cpu)
        self._over_all = True
        for lane in self.lanes:
            if lane._stays:
                ipi.wake(cpu, lane.cpu)
        self._stays = bool(getattr(self.disk, "sharers", ())) and not self.disk.polled
        while self._stays and not all(lane._over_all for lane in self.lanes):
            yield from cpu.hlt()
        self._stays = False

    # Measuring.

    def start(self, cpu: VCpu) -> None:
        """Set-up is over: count from here."""
        self.mark = mark = Mark(self.cpu, cpu, copied=lambda: self._copied_in_exits, busy=lambda: self.host.busy_ns)
        self.started, self.setup_exits, self.setup_compute, self.setup_idle = mark.now, mark.exits, mark.compute_ns, mark.idle_ns
        self.setup_interrupts, self.setup_copied, self.setup_busy = mark.interrupts, mark.more["copied"], mark.more["busy"]
        watch(self.cpu, "slept", self.sleeps.append)

    @property
    def under_way(self) -> int:
        """How many requests this vCPU has begun and not seen the end of."""
        return len(self._active)

    @property
    def _canary(self) -> bytes:
        return f"canary of {self.guest.name}".encode().ljust(32, b".")

    @property
    def canary_lives(self) -> bool:
        """The bytes that nobody but this guest can know are still in its memory."""
        return self.guest.memory.read(CANARY, 32) == self._canary

    def counted(self, key: Callable[..., Any]) -> dict[str, int]:
        """Exits since set-up, by `key(row)`."""
        return self.mark.by(key)

    @property
    def exit_ns(self) -> int:
        """Time in exits since set-up."""
        return self.mark.exit_ns

    @property
    def _copied_in_exits(self) -> int:
        return sum(row.extra_ns for row in self.cpu.exits.rows)   # string I/O: the hypervisor moves the block

    def parts(self) -> dict[str, int]:
        """Return where this guest's time since set-up went."""
        cpu = self.cpu
        return times.parts(cpu.now - self.started, cpu.compute_ns - self.setup_compute, self.exit_ns,
                           self._copied_in_exits - self.setup_copied, self.sleeps, self.served, self.copies)

    # Requests.

    def serve(self, cpu: VCpu) -> Steps[None]:
        """Requests, until none is left to begin and ours are over."""
        ledger, requests = self.ledger, self.requests
        while ledger.next < len(requests):
            row = ledger.next
            request = requests[row]
            if request.op == "D" and not self.disk.discards:
                ledger.skip()             # as Linux does: a disk that doesn't announce it is not asked
                continue
            came = None if self.times_ns is None else self.first.started + self.times_ns[row]
            if came is not None and cpu.now < came:
                yield from self._wait(cpu, came)
                continue
            if not self._free or not ledger.may_start(request):
                yield from self._wait(cpu) if self._active else self._blocked(cpu)
                continue
            ledger.begin()
            self._active[row] = self._free.pop()
            self._asked[row] = cpu.now if came is None else came
            cpu.compute(self.costs.guest_request_ns)
            if self.one_by_one:
                yield from cpu.pay()      # let the others be where we are
            self._submit(cpu, row, request)
        while self._active:
            yield from self._wait(cpu)

    def _submit(self, cpu: VCpu, row: int, request: Request) -> None:
        op, lba, sectors = request
        buffer = self._active[row]
        if op == "R":
            self.disk.submit("read", lba, sectors, buffer, row)
        elif op in "WD":
            if op == "W":
                cpu.write(buffer, trace.payload(row, sectors))
            self.disk.submit("write" if op == "W" else "discard", lba, sectors, buffer, row)
        else:
            self.disk.submit("flush", 0, 0, 0, row)

    def _blocked(self, cpu: VCpu) -> Steps[None]:
        """The next request must wait for one of another vCPU's, and we have none under way: sleep until it is over."""
        self.ledger.blocked.append(cpu)
        yield from cpu.hlt()

    def _wait(self, cpu: VCpu, until: int = NEVER) -> Steps[None]:
        """Publish what was submitted, sleep until something is over or the time is `until`, and take what is over."""
        if self.attachment.in_memory:
            yield from cpu.pay()
        self.disk.flush_ring()
        yield from self.disk.wait(until)
        for row, error in self.disk.reap():
            if error is not None:
                raise error
            self._over(cpu, row)

    def _over(self, cpu: VCpu, row: int) -> None:
        ledger, buffer = self.ledger, self._active.pop(row)
        self.latencies.append(cpu.now - self._asked.pop(row))
        op, _, sectors = self.requests[row]
        ledger.completed(row, cpu.read(buffer, sectors * SECTOR) if op == "R" else b"")
        self._free.append(buffer)
        while ledger.blocked:
            ipi.wake(cpu, ledger.blocked.pop())
