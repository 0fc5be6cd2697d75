"""The host's matrix engine as a service: the host drives it, guests' command buffers take turns on it.

There is one on-chip memory.  When another guest's turn comes, what is on the chip goes to a page of the host's own and the
other's comes back: 64 KiB out, 64 KiB in, over the link.  So no guest finds what another left there, and it costs time.

A turn is one command buffer, however long; or, with `slice_ns`, as many of its commands as fit into that time, at least one.
The rest of the buffer comes at the guest's next turn.
"""

from collections import deque
from collections.abc import Callable

from simpy.events import Event

from vmio.drivers.accelerator import MEMORY, Halted, RingDriver
from vmio.drivers.accelerator_plan import moves
from vmio.drivers.errors import DriverError
from vmio.hardware.accelerator import job as work
from vmio.hardware.accelerator import registers as r
from vmio.hardware.accelerator.engine import Engine
from vmio.hardware.accelerator.function import EngineFunction
from vmio.hardware.accelerator.registers import DESCRIPTOR, LANES, SRAM_BYTES, Op
from vmio.host.accelerator.commands import checked
from vmio.host.clock import HostClock
from vmio.hypervisor.contracts import Root, Steps
from vmio.hypervisor.hostcpu import HostCpu
from vmio.machine.bus import Bus
from vmio.machine.clock import NEVER
from vmio.machine.memory import PAGE
from vmio.machine.window import Window

BAR = 1 << 40
ENDED = 0xFF             # a job's error when its guest has taken the memory back


class Job:
    """A command buffer that was let through; `done(error)` is called once, 0 for none.  `ended`: its guest has taken the memory back."""

    def __init__(self, context: "GuestContext", descriptors: list[bytes], done: Callable[[int], None]) -> None:
        self.context, self.descriptors, self.done, self.ended = context, descriptors, done, False

    def take(self, slice_ns: int) -> list[bytes]:
        """Return the next descriptors, and forget them: as many as fit into this time, at least one."""
        ns = taken = 0
        for each in self.descriptors:
            ns += work.duration(DESCRIPTOR.parse(each))
            if taken and ns > slice_ns:
                break
            taken += 1
        part, self.descriptors = self.descriptors[:taken], self.descriptors[taken:]
        return part


class GuestContext:
    """One guest's place in the service: what an accelerator's VSP has as its `Service`."""

    lanes, sram_bytes, command_bytes = LANES, SRAM_BYTES, DESCRIPTOR.size

    def __init__(self, service: "AcceleratorService") -> None:
        self.service = service
        self.jobs: deque[Job] = deque()
        self.kept = service.host.memory.allocate(SRAM_BYTES // PAGE)      # its on-chip memory, while it is another's turn

    def submit(self, commands: bytes, memory: dict[int, Window], done: Callable[[int], None]) -> None:
        """See `Service`."""
        self.jobs.append(Job(self, checked(commands, memory), done))
        self.service.work()

    def forget(self) -> None:
        """See `Service`.  A job that runs is ended by a reset of the device."""
        dropped = list(self.jobs)
        self.jobs.clear()
        for job in dropped:
            job.done(ENDED)
        self.service.end(self)

    def scrub(self) -> None:
        """Nothing of the guest's is left in what was kept of the on-chip memory."""
        self.service.host.memory.write(self.kept, bytes(SRAM_BYTES))


class AcceleratorService:
    """A matrix engine of `host`, driven by the host's driver.  `switches` counts how often another guest's turn came."""

    def __init__(self, host: Root, slice_ns: int = NEVER) -> None:
        self.host, self.slice_ns, self.switches = host, slice_ns, 0
        bus = Bus("host MMIO", 1 << 48)
        self.cpu = HostCpu(host, bus)
        self.engine = Engine(HostClock(host.env))
        self.function = EngineFunction(self.engine, HostClock(host.env))
        self.function.memory, self.function.msix.send = host.memory, self._interrupt
        bus.attach(BAR, r.BAR_BYTES, self.function, "matrix engine", width=4)
        self.driver = RingDriver(self.cpu, BAR, host.memory.allocate(MEMORY // PAGE))
        self.contexts: list[GuestContext] = []
        self.loaded: GuestContext | None = None      # whose the on-chip memory is
        self.running: Job | None = None
        self._down = True                            # the driver must begin anew
        self._idle: Event | None = None
        self._next = 0
        self.start()

    def start(self) -> None:
        """Serve from now on."""
        self.host.env.process(self._serve())

    @property
    def waits(self) -> bool:
        """Whether it has begun, and waits for somebody to have a job."""
        return self._idle is not None

    def context(self) -> GuestContext:
        """Return a place for one more guest."""
        self.contexts.append(GuestContext(self))
        return self.contexts[-1]

    def work(self) -> None:
        """There is something to do."""
        idle, self._idle = self._idle, None
        if idle is not None:
            idle.succeed()

    def begin(self) -> Steps[None]:
        """Reset the device and bring the host's driver up."""
        self.function.reset()
        self.function.msix.unmask_all()
        self._down = False
        yield from self.driver.init()

    def end(self, context: GuestContext) -> None:
        """End what runs for `context`, and forget what it had on the chip."""
        context.scrub()
        if self.running is not None and self.running.context is context:
            self.running.ended = True
        if context is self.loaded:
            self.loaded, self._down = None, True
            self.function.reset()
            self._interrupt(0)

    def _interrupt(self, vector: int) -> None:
        self.driver.interrupt()
        self.cpu.interrupt(vector)

    def _serve(self) -> Steps[None]:
        """Job after job, or slice after slice, the guests in turn."""
        while True:
            job = self.running = self._turn()
            if job is None:
                self._idle = self.host.env.event()
                yield self._idle
                continue
            error = yield from self._done(job)
            self.running = None
            if job.descriptors and not error and not job.ended:
                job.context.jobs.appendleft(job)
            else:
                job.done(ENDED if job.ended else error)

    def _done(self, job: Job) -> Steps[int]:
        """Run a job, or a slice of it; the device's error, 0 for none.  After one the guest begins with an empty chip."""
        try:
            if self.loaded is not job.context:
                yield from self._switch(job.context)
            if not job.ended:
                yield from self._run(job.take(self.slice_ns))
        except DriverError as failure:
            job.context.scrub()
            self.loaded = None
            return failure.error if isinstance(failure, Halted) else ENDED
        return 0

    def _turn(self) -> Job | None:
        """Who is next, from the one after the last: each guest gets one job a round."""
        for step in range(len(self.contexts)):
            at = (self._next + step) % len(self.contexts)
            if self.contexts[at].jobs:
                self._next = at + 1
                return self.contexts[at].jobs.popleft()
        return None

    def _switch(self, context: GuestContext) -> Steps[None]:
        """Bring `context`'s on-chip memory to the chip; what another one had there is kept first, whatever `context` does meanwhile."""
        before = self.loaded
        self.switches += 1
        if before is not None:
            try:
                yield from self._run(moves(Op.STORE, before.kept, 0, SRAM_BYTES))
            except DriverError:           # its guest has gone meanwhile
                before.scrub()
            self.loaded = None
        yield from self._run(moves(Op.LOAD, context.kept, 0, SRAM_BYTES))
        self.loaded = context

    def _run(self, descriptors: list[bytes]) -> Steps[None]:
        """Have the device do these; `DriverError` if it halts or is reset, and then the driver begins anew."""
        if self._down:
            yield from self.begin()
        try:
            yield from self.driver.run(descriptors)
        except DriverError:
            self._down = True
            raise
