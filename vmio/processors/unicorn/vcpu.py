"""A virtual processor whose program is x86-64 machine code.

It is the `VCpu` that generators have, and what exits is that vCPU's own method: the same rows, counts and prices.
Here is what makes machine code call them, and the guest's way back in.

Virtual time moves by exits, by RDTSC and PAUSE (`READ_NS`, `answers.PAUSE_NS`) and while the guest sleeps; other instructions are free,
as they are for a generator that doesn't say `compute`.  So two runs are the same run.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from vmio.hypervisor.contracts import Partition, Steps
from vmio.hypervisor.exits import ExitReason
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.clock import NEVER
from vmio.processors.unicorn import package
from vmio.processors.unicorn.answers import Answers
from vmio.processors.unicorn.deliver import Delivery, TripleFault
from vmio.processors.unicorn.paging import PAGE, PageFault
from vmio.processors.unicorn.portio import PortIo
from vmio.processors.unicorn.ram import Ram, ToldSpace
from vmio.processors.unicorn.state import IF, State

READ_NS = 20            # RDTSC: some 50 cycles
PATIENCE_NS = 1_000_000_000     # of a sleep after which is looked whether the run is to end
LOW32 = 0xFFFF_FFFF


class End(NamedTuple):
    """Why machine code is over: a `reason` in a word or two, and the whole sentence."""

    reason: str
    text: str


class Stopped(Exception):
    """Somebody outside has ended the run: `end`."""

    def __init__(self, end: End) -> None:
        super().__init__(end)
        self.end = end


HALTED, STUCK, TRIPLE_FAULT, UNICORN = "halted", "waits for ever", "triple fault", "processor stopped"


class MachineCodeCpu(VCpu):
    """The only vCPU of a guest that executes machine code: `guest` is made with `processor=MachineCodeCpu`.

    `power_on()` maps its memory; `state` is set by who boots it; `run` is the program for `Host.run`.  A vector
    that was acknowledged waits in `injecting` for the next entry into the guest, as in a processor's own event injection.
    `on_idle()`, if set, is called before each sleep.
    """

    POINTS = {**VCpu.POINTS, "paused": "() it stands still between two instructions, as `pause` has asked: it can be saved"}
    paused: Callable[[], None] | None = None

    def __init__(self, guest: Partition, index: int) -> None:
        package.check()
        if index:
            raise ValueError(f"guest {guest.name}: vcpus 2 or more; a guest of machine code has one, as Unicorn's processor is one")
        self.injecting: int | None = None
        self._window = self._late = self._inside = False
        self.engine: Any = None
        super().__init__(guest, index)
        self._space = ToldSpace(guest.memory.memory, guest.memory.table)
        self.memory = guest.memory = guest.dma = guest.seen = self._space
        self._errors: list[BaseException] = []
        self._stopping = False
        self.halts = False
        self.ending: End | None = None   # set by `end`
        self.on_idle: Callable[[], None] | None = None
        self.pausing = self._pausing_later = False
        self.entries = 0                 # how often the processor has been started

    def power_on(self) -> None:
        """Map the guest's memory and hook the processor; once, when its devices are plugged in."""
        import unicorn
        import unicorn.x86_const as x
        self.engine = engine = package.engine()
        self.state = State(engine)
        self.ram = Ram(self.guest, engine, self._space, self._guarded(self._load, 0), self._guarded(self._store))
        self.delivery, self.ports = Delivery(self.state, self.ram), PortIo(self)
        answers = Answers(self)
        guarded = self._guarded

        def hook(kind: int, function: Callable, *more: Any) -> None:
            engine.hook_add(kind, function, None, *more)
        hook(unicorn.UC_HOOK_INTR, guarded(lambda uc, number, _: answers.stopped(number)))
        hook(unicorn.UC_HOOK_INSN_INVALID, guarded(lambda uc, _: answers.invalid(), True))
        hook(unicorn.UC_HOOK_INSN, guarded(lambda uc, _: answers.syscall()), 1, 0, x.UC_X86_INS_SYSCALL)
        hook(unicorn.UC_HOOK_INSN, guarded(lambda uc, port, size, _: self._port_in(port, size), 0), 1, 0, x.UC_X86_INS_IN)
        hook(unicorn.UC_HOOK_INSN, guarded(lambda uc, port, size, value, _: self._port_out(port, size, value)), 1, 0, x.UC_X86_INS_OUT)
        self._kept = [package.hook_instruction(engine, instruction, guarded(lambda: self._read_tsc(), 1))
                      for instruction in (x.UC_X86_INS_RDTSC, x.UC_X86_INS_RDTSCP)]

    def _guarded(self, function: Callable, otherwise: Any = None) -> Callable:
        """`function`, called from C: an error ends the run, and leaves it where Python sees it."""
        def call(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except BaseException as error:  # noqa: BLE001  it would be lost in the C library; Ctrl-C, too
                self._errors.append(error)
                self.engine.emu_stop()
                return otherwise
        return call

    # Interrupts: what the vCPU's own methods ask and tell.

    @property
    def interrupts_enabled(self) -> bool:
        """Whether the guest would take one now: IF, and none waits to be injected."""
        return self.injecting is None and self.engine is not None and self._flag_if()

    @interrupts_enabled.setter
    def interrupts_enabled(self, value: bool) -> None:
        """The flag is the guest's own."""

    def _flag_if(self) -> bool:
        import unicorn.x86_const as x
        return bool(self.engine.reg_read(x.UC_X86_REG_EFLAGS) & IF)

    def interrupted(self) -> None:
        """Take an interrupt that came while the guest ran; one that was seen before and waits is no exit of its own."""
        if (self._window or self._late) and not self.apic.by_host:
            self.attend()
        else:
            super().interrupted()

    def attend(self) -> None:
        """Acknowledge what the interrupt controller asks for, on the way back into the guest; `inject` brings it in.

        While the guest has interrupts off, an interrupt window is asked for, and the exit of it is counted when it opens.
        In the middle of an access to memory the translator can't be left: what comes there is taken at the next exit.
        """
        if not self.attention:
            self._window = self._late = False
        elif self.injecting is None:
            virtual = self.virtual_apic and self.apic.ready       # the processor's own work: it needs no window
            if not self._flag_if():
                self._window |= not (virtual or self._late)
            elif self._inside:
                self._late = True
            else:
                window, self._window, self._late = self._window and not virtual, False, False
                if window:
                    self._plain(ExitReason.INTERRUPT_WINDOW, 0)
                self.injecting = self._acknowledge()
                self.interrupts += 1

    def inject(self) -> None:
        """Bring the acknowledged vector into the saved state, if the guest lets it in; else as soon as it does."""
        if self.ports.midway:
            return
        if self.attention:
            self.attend()
        if self.injecting is None:
            return
        if not self.state.interruptible:       # it has switched them off in the block of code that was under way
            self._window = True
            return
        if self._window:
            self._window = False
            self._plain(ExitReason.INTERRUPT_WINDOW, 0)
        vector, self.injecting = self.injecting, None
        self.delivery.interrupt(vector)

    # The program.

    def run(self, cpu: Any = None) -> Steps[End]:
        """Execute from the state that is set, until something ends it; a generator that returns the `End`."""
        state = self.state
        state.restore()
        try:
            while self.ending is None:
                if self.pausing and not self.ports.midway:
                    self.pausing = False
                    if self.paused is not None:
                        self.paused()
                    continue
                self._stopping = self.halts = False
                self.entries += 1
                self.ram.forget_code()
                self._enter()
                state.save()
                if self.ending is not None:
                    break
                if self.halts:
                    if not state.interruptible:
                        self._plain(ExitReason.HLT, 0)
                        return End(HALTED, f"it halted with interrupts off, at {state.rip:#x}")
                    yield from self._sleep()
                    self.pausing, self._pausing_later = self.pausing or self._pausing_later, False
                elif not self._must_stop():
                    continue             # for `pause` alone: for the guest nothing has happened
                else:
                    self.inject()
                    state.restore()
                    yield from self.pay()
                    state.save()
                self.inject()
                state.restore()
        except TripleFault as fault:
            return End(TRIPLE_FAULT, str(fault))
        except Stopped as stopped:
            return stopped.end
        return self.ending

    def _must_stop(self) -> bool:
        """Whether a vector, the end, or others come first."""
        return self.injecting is not None or self.ending is not None or self.env.peek() <= self.now

    def pause(self, later: bool = False) -> None:
        """Stand still behind the instruction that is being answered, or `later`, after the guest's next sleep; then `paused` is told."""
        if later:
            self._pausing_later = True
        else:
            self.pausing = True

    def _sleep(self) -> Steps[None]:
        """HLT, until an interrupt comes or the run is ended; raises `Stopped` if there is nobody any more who could interrupt."""
        if self.on_idle is not None:
            self.on_idle()
        awake = yield from self.hlt(watchdog_ns=PATIENCE_NS)
        while not (awake or self.ending is not None or self._errors):
            if self.on_idle is not None:
                self.on_idle()
            elif self.clock.deadline() == NEVER and self.env.peek() >= NEVER:
                raise Stopped(End(STUCK, "it sleeps and waits for an interrupt that nothing will raise"))
            self._again = True               # the same HLT, which was one exit
            self._halted = self.interrupts, self.now - self.in_guest.stopped_ns, self.now + PATIENCE_NS
            awake = yield from self.hlt()

    def _enter(self) -> None:
        """Be in the guest until it is left for good reason; raises what went wrong there."""
        import unicorn
        import unicorn.x86_const as x
        engine, errors = self.engine, self._errors
        try:
            if not errors:
                engine.emu_start(engine.reg_read(x.UC_X86_REG_RIP), 0)
        except unicorn.UcError as error:
            if not errors:
                raise Stopped(End(UNICORN, f"its processor stopped at {engine.reg_read(x.UC_X86_REG_RIP):#x}: {error}")) from None
        if errors:
            raise errors[0]

    def end(self, why: End) -> None:
        """End the run behind the exit that is being answered, or the sleep; the first `End` stays."""
        self.ending = self.ending or why

    def stop(self, why: End) -> None:
        """End the run for good, from any thread: what the guest was in the middle of is lost."""
        self._errors.append(Stopped(why))
        self.leave()

    def leave(self) -> None:
        """Come back to Python, for who ends the run there (a signal's handler); the guest can't go on afterwards."""
        if self.engine is not None:
            self.engine.emu_stop()

    def stop_soon(self) -> None:
        """Leave the translator behind this instruction: at the next access to memory, which is then made again, or block."""
        self._stopping = True
        self.engine.emu_stop()

    # What machine code calls.

    def _port_in(self, port: int, size: int) -> int:
        if self.ending is not None:
            return 0                     # the translator is still to notice
        value = self.ports.read(port, size)
        self._after()
        return value

    def _port_out(self, port: int, size: int, value: int) -> None:
        if self.ending is not None:
            return
        self.ports.write(port, size, value)
        self._after()

    def _after(self) -> None:
        """IN or OUT is done, the translator's block is not: stop if the guest must not go on."""
        self.ram.forget_code()
        if self.ports.midway:
            return                       # a stop there would do the unit again
        if self.attention:
            self.attend()
        if self.pausing or self._must_stop():
            self.stop_soon()

    def _load(self, gpa: int, size: int) -> int:
        if self._stopping:
            return 0                     # it will be made again
        with self.inside():
            return self.load(gpa, size)

    def _store(self, gpa: int, size: int, value: int) -> None:
        if self._stopping:
            return
        with self.inside():
            self.store(gpa, size, value & (1 << 8 * size) - 1)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """In the middle of an instruction, where the translator can't be left."""
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
        self.ram.forget_code()

    def _read_tsc(self) -> int:
        import unicorn.x86_const as x
        self.compute(READ_NS)
        tsc = self.rdtsc()
        self.engine.reg_write(x.UC_X86_REG_RAX, tsc & LOW32)
        self.engine.reg_write(x.UC_X86_REG_RDX, tsc >> 32)
        if self.attention:
            self.attend()
        if self.injecting is not None or self.env.peek() <= self.now:
            self.stop_soon()
        return 1

    def code_at(self, cr3: int, address: int, length: int) -> bytes:
        """Return up to `length` bytes of code at a linear address: fewer where the next page is not there."""
        try:
            return self.ram.read(cr3, address, length)
        except PageFault:
            return self.ram.read(cr3, address, min(length, PAGE - (address & PAGE - 1)))
