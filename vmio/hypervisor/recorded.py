"""A vCPU whose answers are kept, so that its guest's program can be saved where it waits.

A program here is a Python generator, whose frame nobody can save.  But it is a function of what its
vCPU answered: begun anew, and told the same, it is again where it was.  So while a program runs on a
`RecordedCpu`, each instruction and its answer is noted (loads, port reads, MSRs, the time, interrupts
where they came), and what is saved of the program is that list.  Restored, the program runs once more
on the list alone: nothing is executed, no time passes, no device hears of it.  Where the list ends, the
program waits in `hlt` or `pay`, and from there on its vCPU answers again.  Programs on several vCPUs of a
guest share its drivers, so they are told in the order in which they were told (`recording.py`).

The list grows with what the program has done since it began; nothing else in a checkpoint does.
"""

from collections.abc import Callable, Sequence
from typing import Any

from vmio.hypervisor.contracts import Handler, Steps
from vmio.hypervisor.recorded_parts import RecordedClock, RecordedPart, RecordedWindow
from vmio.hypervisor.recording import END, INTERRUPT, TIMER, Recording
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import CheckpointRefused
from vmio.machine.contracts import Buffer

WIDTHS = {"b": 8, "w": 16, "l": 32}


class RecordedCpu:
    """What a program has in place of `cpu` (a `VCpu`): the same instructions, and nothing else."""

    def __init__(self, cpu: VCpu, record: Recording) -> None:
        self._cpu, self.index = cpu, cpu.index
        self.record = record            # of all programs of its guest
        self.clock = RecordedClock(self, cpu.clock)
        self._handlers: dict[int, Any] = {}

    # How an instruction is answered.

    def _do(self, instruction: str, method: Callable[..., Any], *operands: Any) -> Any:
        """Execute, and keep the answer; or give the one that was kept."""
        record = self.record
        record.asked(instruction, operands)
        if record.again:
            answer = self._kept(instruction)
            if answer is END:
                raise CheckpointRefused(f"checkpoint, {record.name}: this program goes on where the saved one waited")
            return answer
        try:
            answer = method(*operands)
        except Exception as error:
            record.why = f"{instruction} ended with {type(error).__name__}; a program that has caught an error can't be saved"
            raise
        record.note(instruction, answer)
        return answer

    def _kept(self, instruction: str) -> Any:
        """The answer that was kept, after the interrupts and timers that came on the way to it; `END` in the wait that was saved."""
        while (found := self.record.next(instruction)) is not END:
            kind, answer = found
            if kind == INTERRUPT:
                self._handlers[answer](self)
            elif kind == TIMER:
                self.clock.call_again(answer)
            else:
                return answer
        return END

    def _wait(self, instruction: str, method: Callable[..., Any], *operands: Any) -> Steps:
        """As `_do`, of an instruction that waits; a generator."""
        record = self.record
        record.asked(instruction, operands)
        if record.again:
            while (answer := self._kept(instruction)) is END and record.again:
                yield END               # another's turn
            if answer is not END:
                return answer
            steps = self._cpu.go_on()
        else:
            steps = method(*operands)
        try:
            answer = yield from steps
        except Exception as error:
            record.why = f"{instruction} ended with {type(error).__name__}; a program that has caught an error can't be saved"
            raise
        record.runs(self.index)
        record.note(instruction, answer)
        return answer

    def _deliver(self, vector: int) -> None:
        self.record.runs(self.index)
        self.record.note(INTERRUPT, vector)
        self._handlers[vector](self)

    # Instructions, as in `VCpu`.

    @property
    def now(self) -> int:
        """Its own time, in ns."""
        return self._do("time", lambda: self._cpu.now)

    def load(self, gpa: int, size: int) -> int:
        """MOV from memory."""
        return self._do("load", self._cpu.load, gpa, size)

    def store(self, gpa: int, size: int, value: int) -> None:
        """MOV to memory."""
        return self._do("store", self._cpu.store, gpa, size, value)

    def read(self, gpa: int, length: int) -> bytes:
        """Return `length` bytes of guest memory."""
        return self._do("read", self._cpu.read, gpa, length)

    def write(self, gpa: int, data: Buffer) -> None:
        """Store bytes in guest memory."""
        return self._do("write", self._cpu.write, gpa, data)

    def window(self, pages: Sequence[int]) -> Any:
        """Return guest pages as one array of bytes, whose reads are answers, too."""
        self.record.asked("window", tuple(pages))
        return RecordedWindow(self, self._cpu, pages)

    def cpuid(self, leaf: int, subleaf: int = 0) -> tuple[int, int, int, int]:
        """CPUID."""
        return self._do("CPUID", self._cpu.cpuid, leaf, subleaf)

    def rdtsc(self) -> int:
        """RDTSC."""
        return self._do("RDTSC", self._cpu.rdtsc)

    def rdmsr(self, msr: int) -> int:
        """RDMSR."""
        return self._do("RDMSR", self._cpu.rdmsr, msr)

    def wrmsr(self, msr: int, value: int) -> None:
        """WRMSR."""
        return self._do("WRMSR", self._cpu.wrmsr, msr, value)

    def hypercall(self, control: int, input_gpa: int = 0, output_gpa: int = 0) -> int:
        """VMCALL."""
        return self._do("VMCALL", self._cpu.hypercall, control, input_gpa, output_gpa)

    def compute(self, ns: int) -> None:
        """Work that stays inside the guest."""
        return self._do("compute", self._cpu.compute, ns)

    def cli(self) -> None:
        """Hold interrupts back."""
        return self._do("CLI", self._cpu.cli)

    def sti(self) -> None:
        """Let interrupts in."""
        return self._do("STI", self._cpu.sti)

    @property
    def interrupts_enabled(self) -> bool:
        """PUSHF: the IF flag."""
        return self._do("PUSHF", lambda: self._cpu.interrupts_enabled)

    @interrupts_enabled.setter
    def interrupts_enabled(self, enabled: bool) -> None:
        """POPF, but what waits comes with the next instruction that lets interrupts in."""
        self._do("POPF", lambda enabled: setattr(self._cpu, "interrupts_enabled", enabled), enabled)

    def on_interrupt(self, vector: int, handler: Handler) -> None:
        """Install `handler(cpu)` for a vector; it gets this CPU, and what it is told is kept."""
        self._cpu.on_interrupt(vector, lambda cpu: self._deliver(vector))
        self._handlers[vector] = handler

    def hlt(self, timeout_ns: int | None = None, watchdog_ns: int | None = None) -> Steps:
        """HLT; a generator."""
        return self._wait("HLT", self._cpu.hlt, timeout_ns, watchdog_ns)

    def pay(self) -> Steps:
        """Let the others catch up; a generator."""
        return self._wait("wait", self._cpu.pay)

    def spin(self) -> Steps:
        """Poll; a generator."""
        return self._wait("PAUSE", self._cpu.spin)

    def __getattr__(self, name: str) -> Any:
        raise CheckpointRefused(f"checkpoint, {self.record.name}: a program whose answers are kept has instructions only; "
                                f"cpu.{name} is none")


def _port_io(letter: str, bits: int) -> dict[str, Callable[..., Any]]:
    """IN, OUT, REP INS and REP OUTS of so many bits, as methods by name."""
    def port_in(self: RecordedCpu, port: int) -> int:
        return self._do(f"IN {bits}", getattr(self._cpu, f"in{letter}"), port)

    def port_out(self: RecordedCpu, port: int, value: int) -> None:
        return self._do(f"OUT {bits}", getattr(self._cpu, f"out{letter}"), port, value)

    def string_in(self: RecordedCpu, port: int, gpa: int, count: int) -> None:
        return self._do(f"REP INS {bits}", getattr(self._cpu, f"ins{letter}"), port, gpa, count)

    def string_out(self: RecordedCpu, port: int, gpa: int, count: int) -> None:
        return self._do(f"REP OUTS {bits}", getattr(self._cpu, f"outs{letter}"), port, gpa, count)
    return {f"in{letter}": port_in, f"out{letter}": port_out, f"ins{letter}": string_in, f"outs{letter}": string_out}


for _letter, _bits in WIDTHS.items():
    for _name, _method in _port_io(_letter, _bits).items():
        setattr(RecordedCpu, _name, _method)


def kept(cpu: Any, part: Any, *methods: str) -> Any:
    """Return what a program on `cpu` uses of the guest's own `part`: itself, or on a `RecordedCpu` its `methods`, which are answered again."""
    return RecordedPart(cpu, part, methods) if isinstance(cpu, RecordedCpu) else part
