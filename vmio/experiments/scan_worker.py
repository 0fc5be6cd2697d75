"""A worker of a parallel scan: it keeps some reads under way, searches what has come, and lets the host change what it has meanwhile."""

from collections import deque

from vmio.drivers import ipi
from vmio.drivers.balloon import Balloon
from vmio.drivers.contracts import DiskDriver
from vmio.drivers.page_cache import PageCache
from vmio.drivers.storvsc import StorVsc
from vmio.experiments.mark import Mark
from vmio.experiments.scan_job import START_NS, Job, Piece
from vmio.experiments.scan_params import MAX_DEPTH
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Tag
from vmio.machine.memory import PAGE
from vmio.machine.storage import SECTOR
from vmio.modes import GuestMachine

LOOK_NS = 20_000           # between two looks of who waits for the others


class Team:
    """What the workers of a scan have in common: the `job`, and what the host wants changed."""

    def __init__(self, job: Job, depth: int) -> None:
        self.job, self.depth = job, depth
        self.workers: list[Worker] = []
        self.finished_ns: int | None = None
        self.channels: int | None = None        # wanted, and not had yet
        self.log: list[tuple[int, str]] = []    # (ns, what a guest has seen of a change)

    @property
    def over(self) -> bool:
        """Whether all pieces have been searched, and the lists joined."""
        return self.finished_ns is not None


class Worker:
    """One vCPU of a scan, number `number` of its team."""

    def __init__(self, team: Team, number: int, machine: GuestMachine, buffers: int) -> None:
        params = team.job.params
        self.team, self.number, self.machine = team, number, machine
        self.slow, self.greedy = (params.slow, params.greedy) if number == 0 else (1, 1)
        self.buffers, self.size = buffers, params.buffer
        self._active: dict[Tag, tuple[Piece, int, int]] = {}       # piece's number -> (piece, buffer, begun)
        self._come: deque[tuple[Piece, int]] = deque()             # (piece, buffer) that were read and not searched yet
        self._free: list[int] = []
        self._balloon: Balloon | None = None
        self._cache: PageCache | None = None                       # of its guest, if that keeps what it has read
        self._made = 0
        self.resting = self.left = False
        team.workers.append(self)

    def program(self, cpu: VCpu, disk: DiskDriver, balloon: Balloon | None = None) -> Steps[None]:
        """Search until nothing is left to begin and what was begun is over."""
        self.cpu, self.disk, team = cpu, disk, self.team
        if balloon is not None and isinstance(balloon.heap, PageCache):
            self._balloon, self._cache = balloon, balloon.heap
        if cpu.now < START_NS:
            yield from cpu.hlt(START_NS - cpu.now)
        self.mark = Mark(cpu, cpu)
        while not team.over:
            yield from self._changes(cpu)
            self._begin(cpu)
            if not (self._active or self._come):
                break
            yield from self._next(cpu)
        self.left = True
        if self.number == 0:
            self._release(cpu)                  # it is too late for other channels
        while self._active:                     # of copies that were faster
            yield from self._wait(cpu)
        while not team.over and self.machine.vcpus > 1:
            yield from cpu.hlt()                # others may need the channel that interrupts this vCPU

    @property
    def pages(self) -> int:
        """Pages of a read that is kept."""
        return -(-self.size // PAGE)

    @property
    def depth(self) -> int:
        """How many reads it keeps in flight: who is greedy, more than the others."""
        return min(self.team.depth * self.greedy, MAX_DEPTH)

    def _begin(self, cpu: VCpu) -> None:
        """Submit reads, as many as there may be beside the one that is searched."""
        job = self.team.job
        while len(self._active) + len(self._come) < self.depth and (piece := job.take(self.number)) is not None:
            kept = None if self._cache is None else self._cache.hold(piece.start)
            if kept is not None:
                job.hits.append(cpu.now)
                self._come.append((piece, kept * PAGE))
                continue
            buffer = self._room()
            lba, sectors = job.reads(piece)
            cpu.compute(self.machine.host.costs.guest_request_ns)
            self._active[piece.number] = piece, buffer, cpu.now
            job.note_read(piece)
            self.disk.submit("read", lba, sectors, buffer, piece.number)

    def _room(self) -> int:
        """Return where a read may go: to pages in which it can be kept, or else to a buffer that is used again and again."""
        first = None if self._cache is None else self._cache.room(self.pages)
        if first is not None:
            return first * PAGE
        if not self._free:
            self._free.append(self.buffers + self._made * self.size)
            self._made += 1
        return self._free.pop()

    def _leave(self, piece: Piece, buffer: int) -> None:
        """Keep what was read, if it is in pages for that, and else have the buffer free."""
        if self._cache is not None and not self.buffers <= buffer < self.buffers + self._made * self.size:
            self._cache.keep(piece.start, buffer // PAGE, self.pages)
        else:
            self._free.append(buffer)

    def _wait(self, cpu: VCpu) -> Steps[None]:
        """Sleep until reads have come."""
        yield from cpu.pay()
        self.disk.flush_ring()
        yield from self.disk.wait()
        for number, error in self.disk.reap():
            if error is not None:
                raise error
            piece, buffer, begun = self._active.pop(number)
            self.team.job.latencies.append((cpu.now, cpu.now - begun))
            self._come.append((piece, buffer))

    def _next(self, cpu: VCpu) -> Steps[None]:
        """Search what a read has brought, in the time that it takes; other reads go on meanwhile."""
        job = self.team.job
        while not self._come:
            yield from self._wait(cpu)
        piece, buffer = self._come.popleft()
        self._begin(cpu)
        self.disk.flush_ring()
        since = cpu.now
        if not piece.done:                      # no copy of it was faster
            matches = job.count(piece, cpu.read(buffer, job.reads(piece)[1] * SECTOR))
            cpu.compute((piece.end - piece.start) * 1000 // job.params.rate * self.slow)
            yield from cpu.pay()                # it is over when the others are there, too
            job.spans.append((self.number, since, cpu.now))
            if job.finish(piece, matches):
                yield from self._join(cpu)
        self._leave(piece, buffer)

    def _join(self, cpu: VCpu) -> Steps[None]:
        """The last one joins all lists, and wakes who waits for that."""
        job = self.team.job
        cpu.compute(sum(job.found.values()) * job.params.merge_ns)
        yield from cpu.pay()
        self.team.finished_ns = cpu.now
        for each in self.team.workers:
            if each.machine is self.machine:
                ipi.wake(cpu, each.cpu)

    def _changes(self, cpu: VCpu) -> Steps[None]:
        """Take what has come of devices, and let channels be closed and opened while nobody uses them."""
        team = self.team
        if self._balloon is not None and cpu is self.machine.cpu:
            yield from self._balloon.work()     # what the host wants of the guest's memory
        for what, driver in (yield from self.machine.follow(cpu)) if self.machine.changed and cpu is self.machine.cpu else ():
            if what == "added":
                yield from self._drain(cpu)
                self.disk = driver
                team.log.append((cpu.now, f"worker {self.number} has a function of its own"))
        first = team.workers[0]
        if team.channels is None or first.left or not isinstance(first.disk, StorVsc):
            return
        yield from self._drain(cpu)
        self.resting = True
        if self is first:
            while not all(each.resting or each.left for each in team.workers):
                yield from cpu.hlt(LOOK_NS)
            had = yield from first.disk.set_queues(team.channels)
            team.log.append((cpu.now, f"the disk has {had} channel{'s' * (had > 1)}"))
            self._release(cpu)
        while self.resting:
            yield from cpu.hlt(LOOK_NS)
        if self is not first:
            self.disk = first.disk.on(cpu)      # type: ignore[assignment]  # a queue has a disk's surface

    def _release(self, cpu: VCpu) -> None:
        """Let those go on who wait for the channels."""
        self.team.channels = None
        for each in self.team.workers:
            if each.resting:
                each.resting = False
                ipi.wake(cpu, each.cpu)

    def _drain(self, cpu: VCpu) -> Steps[None]:
        """Let what is under way come."""
        while self._active:
            yield from self._wait(cpu)
