"""One container workload, run two ways: all containers on one kernel, or each in a small guest of its own.

    print(compare(ContainerParams(containers=4)).table())

"process": the containers are processes of one guest.  They share its kernel, its
StorVSC driver, its channel; the kernel lays each container's writes over the base
layer, and only its checks keep the containers apart.  "hyperv": each container has
a utility guest, so a kernel, a channel and a difference disk of its own; the host
lays the writes over the base layer.

Only the host of utility guests backs their RAM on demand, so first touches of pages are
exits there (vmio/hypervisor/kinds.py).  In both, a kernel keeps base blocks in memory once they were read; what a container
wrote is read from the disk.  Source of the two ways: Microsoft, "Isolation Modes"
(Windows containers).
"""

import hashlib
from collections import deque
from collections.abc import Callable, Sequence

from vmio.drivers.pages import GuestPages
from vmio.drivers.storvsc import StorVsc
from vmio.experiments.containers.result import Comparison, ContainerResult, IsolationResult
from vmio.experiments.containers.workload import (
    BASE_MIB,
    BASE_SECTORS,
    MIB,
    ContainerParams,
    Request,
    payload,
    workload,
)
from vmio.experiments.disk import pattern
from vmio.host.physical import Volumes
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import SectorStore
from vmio.machine.overlay import Overlay
from vmio.machine.storage import SECTOR, Image
from vmio.modes import Machine
from vmio.modes.disk_split import SplitDisk
from vmio.modes.machine import GuestMachine

ISOLATION = ("process", "hyperv")
KERNEL_MIB = 2                 # a kernel's own memory: its drivers' pages are in the second MiB
CACHE = KERNEL_MIB * MIB       # guest-physical: base blocks that were read, each at its place in the layer
PROCESSES = CACHE + BASE_MIB * MIB   # guest-physical: 1 MiB for each container, its buffer at the beginning


class Container:
    """A container on a kernel: where its memory is, what it has written, what it has read."""

    def __init__(self, number: int, place: int, first: int, requests: list[Request]) -> None:
        self.number, self.requests = number, requests
        self.name = f"container{number}"
        self.buffer = PROCESSES + place * MIB
        self.first = first               # its difference data begins at this sector of the kernel's disk
        self.turn = self.finished_at = 0
        self.written: set[int] = set()
        self.digest = hashlib.sha256()
        self.bytes_read = self.system_calls = self.ring_requests = self.cache_hits = 0
        self.base_blocks: set[int] = set()


class Kernel:
    """A guest's kernel with its one disk, and the containers on it.

    `layers`: the kernel itself lays each container's writes over the base layer,
    at the container's part of the disk.  Without, the disk does it.
    `disk` is there from `boot` on.
    """

    disk: StorVsc

    def __init__(self, machine: GuestMachine, containers: list[Container], params: ContainerParams, layers: bool) -> None:
        self.params, self.containers, self.layers = params, containers, layers
        self.sectors = params.block // SECTOR
        self.machine, self.guest, self.cpu, self.costs = machine, machine.guest, machine.cpu, machine.host.costs
        self.cached: set[int] = set()           # base blocks in memory
        self._coming: dict[int, list[Container]] = {}    # and on their way: {block: containers that wait}
        self._ready: deque[Container] = deque()

    @property
    def signals(self) -> int:
        """How often the guest has signalled its host."""
        return sum(channel.signals for channel in self.machine.platform.bus.channels.values())

    def boot(self, cpu: VCpu) -> Steps:
        """Bring up bus and disk; count from here."""
        self.disk = yield from self.machine.attachments[0].boot(cpu, GuestPages(MIB, KERNEL_MIB * MIB))
        yield from cpu.pay()
        self.started, self.setup, self.setup_interrupts = cpu.now, cpu.exits.by_reason(), cpu.interrupts
        self.setup_signals = self.signals

    def program(self, cpu: VCpu) -> Steps:
        """The guest: every container has one request under way, until all have done theirs."""
        yield from self.boot(cpu)
        self._ready.extend(self.containers)
        left = len(self.containers)
        while True:
            while self._ready:
                left -= not self._run(cpu, self._ready.popleft())
            if not left:
                return
            yield from cpu.pay()
            self.disk.flush_ring()
            yield from self.disk.wait()
            for done, error in self.disk.reap():
                if error is not None:
                    raise error
                done(cpu)

    def place(self, container: Container, block: int) -> int:
        """Return the sector of the disk at which `block` of the container's own data is."""
        return container.first + block * self.sectors

    def _run(self, cpu: VCpu, container: Container) -> bool:
        """System calls of a container, until one has to wait for the disk.  False: it has no more."""
        while container.turn < len(container.requests):
            op, block = container.requests[container.turn]
            container.system_calls += 1
            cpu.compute(self.costs.guest_request_ns)
            if op == "W":
                cpu.write(container.buffer, payload(container.number, container.turn, self.params.block))
                container.written.add(block)
                self._ask(container, "write", block, container.buffer, lambda cpu: self._over(container))
                return True
            if block in container.written:
                self._ask(container, "read", block, container.buffer, lambda cpu: self._read(cpu, container))
                return True
            if not self._base(cpu, container, block):
                return True
            container.cache_hits += 1
            self._copy(cpu, container, block)
        container.finished_at = cpu.now
        return False

    def _base(self, cpu: VCpu, container: Container, block: int) -> bool:
        """Is this block of the base layer in memory?  If not, the container waits for it."""
        container.base_blocks.add(block)
        if block in self.cached:
            return True
        if block in self._coming:        # somebody else has asked: no need to read it twice
            container.cache_hits += 1
        else:
            self._coming[block] = []
            self._ask(container, "read", block, CACHE + block * self.params.block, lambda cpu: self._came(cpu, block))
        self._coming[block].append(container)
        return False

    def _came(self, cpu: VCpu, block: int) -> None:
        self.cached.add(block)
        for container in self._coming.pop(block):
            self._copy(cpu, container, block)
            self._ready.append(container)

    def _copy(self, cpu: VCpu, container: Container, block: int) -> None:
        """From the kernel's memory to the container's."""
        length = self.params.block
        cpu.write(container.buffer, cpu.read(CACHE + block * length, length))
        cpu.compute(self.costs.copy_ns(length))
        self._take(cpu, container)

    def _read(self, cpu: VCpu, container: Container) -> None:
        self._take(cpu, container)
        self._ready.append(container)

    def _take(self, cpu: VCpu, container: Container) -> None:
        data = cpu.read(container.buffer, self.params.block)
        container.digest.update(data)
        container.bytes_read += len(data)
        container.turn += 1

    def _over(self, container: Container) -> None:
        container.turn += 1
        self._ready.append(container)

    def _ask(self, container: Container, kind: str, block: int, gpa: int, done: Callable[..., None]) -> None:
        """One request for the disk.  What the container wrote is its own; the rest is the base layer, at sector 0."""
        own = self.layers and block in container.written
        container.ring_requests += 1
        self.disk.submit(kind, self.place(container, block) if own else block * self.sectors, self.sectors, gpa, done)


class World:
    """A host, its disk, and the kernels with their containers: `isolation` "process" or "hyperv".

    `differences` are the containers' difference disks, in order.
    """

    def __init__(self, params: ContainerParams, isolation: str) -> None:
        if isolation not in ISOLATION:
            raise ValueError(f"isolation {isolation!r}: choose one of {', '.join(ISOLATION)}")
        self.params, self.isolation = params.check(), isolation
        base, count, shared = pattern(BASE_MIB), params.containers, isolation == "process"
        machine = Machine(params.costs, params.host_cores, kind="hyper-v" if shared else "hyper-v-containers")
        if shared:      # one disk: the base layer, then as much room for each container's differences
            blank = Image(bytearray(BASE_SECTORS * SECTOR), "nothing yet")
            self.differences = [Overlay(blank) for _ in range(count)]
            media: Sequence[SectorStore] = [Volumes([Overlay(base), *self.differences])]
        else:
            media = self.differences = [Overlay(base) for _ in range(count)]
        self.containers = [Container(n, n if shared else 0, (n + 1) * BASE_SECTORS if shared else 0, workload(params, n))
                           for n in range(count)]
        groups = [self.containers] if shared else [[one] for one in self.containers]
        guests = [machine.guest(None, SplitDisk(), medium, KERNEL_MIB + BASE_MIB + len(group)) for group, medium in zip(groups, media)]
        self.host = machine.power_on().host
        self.kernels = [Kernel(guest, group, params, layers=shared) for guest, group in zip(guests, groups)]


def run_containers(params: ContainerParams, isolation: str) -> IsolationResult:
    """Run the workload one way; an `IsolationResult`.  ValueError for parameters that cannot be."""
    world = World(params, isolation)
    world.host.run(*[(kernel.cpu, kernel.program) for kernel in world.kernels])
    rows, counts = [], [_counts(kernel) for kernel in world.kernels]
    for kernel, (exits, signals, interrupts) in zip(world.kernels, counts):
        asked = sum(one.ring_requests for one in kernel.containers)
        for one in kernel.containers:
            part = one.ring_requests / asked     # an exit is the kernel's; whose request caused it is anybody's guess
            rows.append(ContainerResult(
                one.name, one.system_calls, one.ring_requests, one.cache_hits, len(one.base_blocks),
                sum(exits.values()) * part, signals * part, interrupts * part,
                one.finished_at - kernel.started, len(world.differences[one.number].own) * SECTOR,
                one.bytes_read, one.digest.hexdigest()))
    return IsolationResult.of(world, rows, counts)


def _counts(kernel: Kernel) -> tuple[dict[str, int], int, int]:
    """(exits by reason, signals to the host, interrupts) of a kernel since it has booted."""
    exits = kernel.cpu.exits.by_reason()
    exits.subtract(kernel.setup)
    return (dict(+exits), kernel.signals - kernel.setup_signals,
            kernel.cpu.interrupts - kernel.setup_interrupts)


def compare(params: ContainerParams = ContainerParams()) -> Comparison:
    """Return both ways: a `Comparison`."""
    return Comparison(*(run_containers(params, isolation) for isolation in ISOLATION))
