"""A guest driver's accesses, written down while it runs on the model: what a real processor is to do again.

A vCPU that notes each access at the moment it reaches its device.  So an
interrupt handler's accesses stand where they happened, between two others of
the program, and each step carries the model's time.  What is noted is the stream of
instructions at the I/O level; arithmetic and branches between them are gone,
which is why a record is a straight line and a polling loop is as often in it
as it went round.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, NamedTuple, SupportsIndex, TypeAlias

from vmio.hypervisor.apic import TSC_DEADLINE, X2APIC_EOI
from vmio.hypervisor.contracts import Read, Steps, Write
from vmio.hypervisor.exits import ExitReason, Intercept
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.handle import InterceptTable
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.bus import all_ones
from vmio.machine.contracts import Buffer
from vmio.machine.pagetable import READ, WRITE, TranslationFault
from vmio.modes import GuestMachine, Machine
from vmio.processors.kvm.access_window import AccessWindow


class Kind(str, Enum):
    """What a step is; those in `EXITS` are exits of the model."""

    IN, OUT = "IN", "OUT"
    INS, OUTS = "REP INS", "REP OUTS"
    LOAD, STORE = "MOV from memory", "MOV to memory"      # of a device; RAM's are
    READ, WRITE = "read of RAM", "write of RAM"
    PRIVILEGED = "privileged"                             # CPUID, RDMSR, WRMSR, VMCALL: it has an effect
    LEFT_OUT = "left out"                                 # HLT, EXTERNAL INTERRUPT, INTERRUPT WINDOW: it has none
    INTERRUPT = "interrupt"                               # the interrupt controller was asked for a vector
    END = "end of interrupt"                              # the processor's own local APIC was told: no exit
    WAIT = "wait"                                         # the program let time pass

    __str__ = str.__str__


class Step(NamedTuple):
    """One access.  `time` in ns of the model's time when the device was asked, `size` in bytes a unit.

    `value`: what was read or written, or the vector.  `data`: the bytes of string I/O
    and RAM, which are at the guest-physical `memory`.  `address`: port, device
    memory, MSR, CPUID leaf or hypercall code.
    """

    kind: Kind
    time: int
    address: int = 0
    size: int = 0
    value: int = 0
    count: int = 1            # type: ignore[assignment]  # it hides tuple.count
    memory: int = 0
    data: bytes = b""
    reason: ExitReason | None = None
    more: tuple = ()          # PRIVILEGED: (arguments, answer).  WAIT: ("HLT", until when) or ("pay",); `value` is IF

    @property
    def instruction(self) -> str:
        """As `Intercept.instruction` has it, the key of every table."""
        return self.reason.value.replace("_", " ") if self.reason else self.kind.value

    def __str__(self) -> str:
        what = f"{self.instruction} {self.address:X}h" if self.kind not in (Kind.READ, Kind.WRITE) else (
            f"{self.kind} at {self.memory:#x}")
        return f"{what}, {len(self.data) or self.size * self.count} byte(s), at {self.time} ns"


EXITS = (Kind.IN, Kind.OUT, Kind.INS, Kind.OUTS, Kind.LOAD, Kind.STORE, Kind.PRIVILEGED, Kind.LEFT_OUT)
_PRIVILEGED = (ExitReason.CPUID, ExitReason.RDMSR, ExitReason.WRMSR, ExitReason.VMCALL)


class Record(NamedTuple):
    """A driver's run: its `steps`, and what the machine had come to at the end.

    `machine` builds it anew (see `record`), `state` is what its devices saved,
    `memory` all of the guest's RAM, `exits` the model's own count by instruction.
    """

    steps: list[Step]
    machine: "Builds"
    ram_mib: int
    end: int
    state: dict
    memory: bytes
    exits: Counter
    result: object

    @property
    def ports(self) -> set[int]:
        """Every I/O port that the program used."""
        return {step.address + n for step in self.steps if step.kind in (Kind.IN, Kind.OUT, Kind.INS, Kind.OUTS)
                for n in range(step.size)}


Devices: TypeAlias = dict[str, Callable[[], Any]]     # name -> function that gives its state
Builds: TypeAlias = Callable[[GuestMachine], Devices]  # plugs devices into a guest that is made and not switched on


class _Table(InterceptTable):
    """Says of each access what it was, once its device has answered."""

    def __init__(self, guest: Guest, vcpu_index: int, note: Callable[..., None]) -> None:
        super().__init__(guest, vcpu_index)
        self._note = note
        self.exited = note                # not None: rows are made with `_recorded`

    def record(self, row: Intercept, value: int, count: int = 1, cost: int | None = None, address: int | None = None,
               paid: int = 0) -> None:
        if not row.string and row.reason not in _PRIVILEGED:
            self._note(Kind.LEFT_OUT, row.address, reason=row.reason)

    def _recorded(self, row: Intercept, read: Read, write: Write) -> tuple[Read, Write]:
        inward, outward = ((Kind.LOAD, Kind.STORE) if row.reason is ExitReason.EPT_VIOLATION else (Kind.IN, Kind.OUT))

        def recorded_read(offset: int, size: int) -> int:
            value = all_ones(size)
            try:
                value = read(offset, size)
            finally:                      # BadAccess: all ones
                self._note(inward, row.base + offset, size, value)
            return value

        def recorded_write(offset: int, size: int, value: int) -> None:
            self._note(outward, row.base + offset, size, value)
            write(offset, size, value)
        return recorded_read, recorded_write


class RecordingCpu(VCpu):
    """A vCPU that keeps `steps`; otherwise like any other."""

    def __init__(self, guest: Guest, index: int) -> None:
        self.steps: list[Step] = []
        super().__init__(guest, index)
        self.table = _Table(guest, index, self.note)
        self._ins, self._outs = self.table.ins, self.table.outs
        self._halting: int | None = None  # HLT is on its way; the interrupts before it
        self._inward: int | None = None   # REP INS: the step whose data comes next

    def note(self, kind: Kind, *fields: Any, **more: Any) -> None:
        """Append a step of now."""
        self.steps.append(Step(kind, self.now, *fields, **more))

    def charge(self, row: Intercept, extra_ns: int = 0, units: int = 1) -> None:
        if row.string and row.is_write:
            source = self.steps.pop()     # what REP OUTS has just read
            super().charge(row, extra_ns, units)
            _check_string(source.kind is Kind.READ, source.address)
            self.note(Kind.OUTS, row.address, row.size, count=units, memory=source.memory, data=source.data)
            return
        super().charge(row, extra_ns, units)
        if row.string:
            self._inward = len(self.steps)
            self.note(Kind.INS, row.address, row.size, count=units)

    # RAM.  What isn't RAM exits, and the table notes it.

    def load(self, gpa: int, size: int) -> int:
        ram = self._is_ram(gpa, size, READ)
        value = super().load(gpa, size)
        if ram:
            self.note(Kind.READ, memory=gpa, data=value.to_bytes(size, "little"))
        return value

    def store(self, gpa: int, size: int, value: int) -> None:
        if self._is_ram(gpa, size, WRITE):
            self.note(Kind.WRITE, memory=gpa, data=value.to_bytes(size, "little"))
        super().store(gpa, size, value)

    def read(self, gpa: int, length: int) -> bytes:
        ram = self._is_ram(gpa, length, READ)
        data = super().read(gpa, length)
        if ram:
            self.note(Kind.READ, memory=gpa, data=data)
        return data

    def write(self, gpa: int, data: Buffer) -> None:
        ram, at, self._inward = self._is_ram(gpa, len(data), WRITE), self._inward, None
        if at is not None:                # the data of a REP INS
            _check_string(ram, gpa)
            self.steps[at] = self.steps[at]._replace(memory=gpa, data=bytes(data))
        elif ram:
            self.note(Kind.WRITE, memory=gpa, data=bytes(data))
        super().write(gpa, data)

    def window(self, pages: Sequence[int]) -> Any:       # it has a `Window`'s methods, and notes each access
        return AccessWindow(self, pages)

    def _is_ram(self, gpa: int, length: int, access: int) -> bool:
        try:
            self.guest.slat.spans(gpa, length, access)
        except TranslationFault:
            if self.guest.direct.find(gpa) is not None:
                raise ValueError(f"memory at {gpa:#x}: a passed-through register, whose accesses don't exit") from None
            return False
        return True

    # What ring 3 may not do.

    def cpuid(self, leaf: int, subleaf: int = 0) -> tuple[int, int, int, int]:
        return self._privileged(ExitReason.CPUID, leaf, self.guest.cpuid, subleaf)

    def rdmsr(self, msr: int) -> int:
        return self._privileged(ExitReason.RDMSR, msr, self.guest.read_msr, self)

    def wrmsr(self, msr: int, value: int) -> None:
        if msr == X2APIC_EOI and self.virtual_apic and not value:
            self.note(Kind.END)
            return super().wrmsr(msr, value)
        self._privileged(ExitReason.WRMSR, msr, self.guest.write_msr, value, self)

    def hypercall(self, control: int, input_gpa: int = 0, output_gpa: int = 0) -> int:
        call = self.guest.hypercalls[control & 0xFFFF]
        return self._privileged(ExitReason.VMCALL, control, lambda control, *gpas: call(self.guest, self, control, *gpas),
                                input_gpa, output_gpa)

    def _privileged(self, reason: ExitReason, address: int, effect: Callable[..., Any], *arguments: Any) -> Any:
        self._plain(reason, address & 0xFFFF if reason is ExitReason.VMCALL else 0)
        answer = effect(address, *arguments)
        arguments = tuple(argument for argument in arguments if argument is not self)
        self.note(Kind.PRIVILEGED, address, 4, reason=reason, more=(arguments, answer))
        self.attend()
        return answer

    # Interrupts and waiting.

    def _acknowledge(self) -> int:
        vector = super()._acknowledge()
        self.note(Kind.INTERRUPT, value=vector)
        return vector

    def _arm(self, when: int) -> None:
        super()._arm(when)
        self.note(Kind.PRIVILEGED, TSC_DEADLINE, 4, reason=ExitReason.WRMSR, more=((when,), None))

    def hlt(self, timeout_ns: SupportsIndex | None = None, watchdog_ns: SupportsIndex | None = None) -> Steps[bool]:
        self._halting = self.interrupts
        return (yield from super().hlt(timeout_ns, watchdog_ns))

    def _catch_up(self, again: bool = False) -> Steps[None]:
        seen, self._halting = self._halting, None
        sleeps = self.interrupts == seen      # no interrupt has come before HLT could sleep
        self.note(Kind.WAIT, value=self.interrupts_enabled, more=("HLT", self.halts_until) if sleeps else ("pay",))
        yield from super()._catch_up(again)


def _check_string(ram: bool, gpa: int) -> None:
    if not ram:
        raise ValueError(f"string I/O with memory at {gpa:#x}, which is no RAM, can't be recorded")


def build(cpu_class: type[VCpu], machine: Builds, ram_mib: int) -> tuple[Guest, Devices]:
    """Return (guest, devices) on a host of its own, the guest's only vCPU a `cpu_class`."""
    plan = Machine().guest(ram_mib=ram_mib).make()
    plan.guest.vcpus[:] = [cpu_class(plan.guest, 0)]
    return plan.guest, machine(plan)


def record(machine: Builds, program: Callable[..., Any], ram_mib: int = 1) -> Record:
    """Run `program(cpu)` on the model and write down what it does: a `Record`.

    `machine(plan)` attaches devices to a `GuestMachine` that is made and not switched on, or
    puts them on the buses of its `guest`, and returns {name: function() that gives a device's
    state}; it is called again for each replay, so it must build the same machine each time.  The guest has one vCPU.  ValueError for registers
    of a passed-through device: no exit, so on a real processor none of the model's business.
    """
    guest, devices = build(RecordingCpu, machine, ram_mib)
    cpu = guest.cpu
    done: list[tuple[list[Step], int, object]] = []

    def until_the_end(cpu: RecordingCpu) -> Steps[None]:
        steps = program(cpu)
        result = (yield from steps) if hasattr(steps, "send") else steps
        done.append((cpu.steps, cpu.now, result))
        cpu.steps = []                    # what `Host.run` does after the program is not the program's
    guest.host.run((cpu, until_the_end))
    steps, end, result = done[0]
    cpu.clock.advance_to(end)
    return Record(steps, machine, ram_mib, end, {name: state() for name, state in devices.items()},
                  guest.memory.read(0, guest.ram), cpu.exits.by_instruction(), result)
