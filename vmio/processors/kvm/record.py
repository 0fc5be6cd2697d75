"""A guest driver's accesses, written down while it runs on the model: what a real processor is to do again.

A vCPU that notes each access at the moment it reaches its device.  So an
interrupt handler's accesses stand where they happened, between two others of
the program, and each step carries the model's time.  What is noted is the stream of
instructions at the I/O level; arithmetic and branches between them are gone,
which is why a record is a straight line and a polling loop is as often in it
as it went round.
"""

from collections import Counter
from enum import Enum
from typing import NamedTuple

from vmio.hypervisor.exits import ExitReason
from vmio.hypervisor.handle import InterceptTable
from vmio.hypervisor.host import Host
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.bus import all_ones
from vmio.machine.pagetable import READ, WRITE, TranslationFault
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
    count: int = 1
    memory: int = 0
    data: bytes = b""
    reason: ExitReason | None = None
    more: tuple = ()          # PRIVILEGED: (arguments, answer).  WAIT: ("HLT", time-out) or ("pay",); `value` is IF

    @property
    def instruction(self):
        """As `Intercept.instruction` has it, the key of every table."""
        return self.reason.value.replace("_", " ") if self.reason else self.kind.value

    def __str__(self):
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

    steps: list
    machine: object
    ram_mib: int
    host_mib: int
    end: int
    state: dict
    memory: bytes
    exits: Counter
    result: object

    @property
    def ports(self):
        """Every I/O port that the program used."""
        return {step.address + n for step in self.steps if step.kind in (Kind.IN, Kind.OUT, Kind.INS, Kind.OUTS)
                for n in range(step.size)}


class _Table(InterceptTable):
    """Says of each access what it was, once its device has answered."""

    def __init__(self, guest, vcpu_index, note):
        super().__init__(guest, vcpu_index)
        self._note = note
        self.exited = note                # not None: rows are made with `_recorded`

    def record(self, row, value, count=1, cost=None, address=None):
        if not row.string and row.reason not in _PRIVILEGED:
            self._note(Kind.LEFT_OUT, row.address, reason=row.reason)

    def _recorded(self, row, read, write):
        inward, outward = ((Kind.LOAD, Kind.STORE) if row.reason is ExitReason.EPT_VIOLATION else (Kind.IN, Kind.OUT))

        def recorded_read(offset, size):
            value = all_ones(size)
            try:
                value = read(offset, size)
            finally:                      # BadAccess: all ones
                self._note(inward, row.base + offset, size, value)
            return value

        def recorded_write(offset, size, value):
            self._note(outward, row.base + offset, size, value)
            write(offset, size, value)
        return recorded_read, recorded_write


class RecordingCpu(VCpu):
    """A vCPU that keeps `steps`; otherwise like any other."""

    def __init__(self, guest, index):
        self.steps = []
        super().__init__(guest, index)
        self.table = _Table(guest, index, self.note)
        self._ins, self._outs = self.table.ins, self.table.outs
        self._halting = ("pay",)
        self._inward = None               # REP INS: the step whose data comes next

    def note(self, kind, *fields, **more):
        """Append a step of now."""
        self.steps.append(Step(kind, self.now, *fields, **more))

    def charge(self, row, extra_ns=0, units=1):
        source = self.steps.pop() if row.string and row.is_write else None    # what REP OUTS has just read
        super().charge(row, extra_ns, units)
        if row.string and row.is_write:
            _check_string(source.kind is Kind.READ, source.address)
            self.note(Kind.OUTS, row.address, row.size, count=units, memory=source.memory, data=source.data)
        elif row.string:
            self._inward = len(self.steps)
            self.note(Kind.INS, row.address, row.size, count=units)

    # RAM.  What isn't RAM exits, and the table notes it.

    def load(self, gpa, size):
        ram = self._is_ram(gpa, size, READ)
        value = super().load(gpa, size)
        if ram:
            self.note(Kind.READ, memory=gpa, data=value.to_bytes(size, "little"))
        return value

    def store(self, gpa, size, value):
        if self._is_ram(gpa, size, WRITE):
            self.note(Kind.WRITE, memory=gpa, data=value.to_bytes(size, "little"))
        super().store(gpa, size, value)

    def read(self, gpa, length):
        ram = self._is_ram(gpa, length, READ)
        data = super().read(gpa, length)
        if ram:
            self.note(Kind.READ, memory=gpa, data=data)
        return data

    def write(self, gpa, data):
        ram, at, self._inward = self._is_ram(gpa, len(data), WRITE), self._inward, None
        if at is not None:                # the data of a REP INS
            _check_string(ram, gpa)
            self.steps[at] = self.steps[at]._replace(memory=gpa, data=bytes(data))
        elif ram:
            self.note(Kind.WRITE, memory=gpa, data=bytes(data))
        super().write(gpa, data)

    def window(self, pages):
        return AccessWindow(self, pages)

    def _is_ram(self, gpa, length, access):
        try:
            self.guest.slat.spans(gpa, length, access)
        except TranslationFault:
            if self.guest.direct.find(gpa) is not None:
                raise ValueError(f"memory at {gpa:#x}: a passed-through register, whose accesses don't exit") from None
            return False
        return True

    # What ring 3 may not do.

    def cpuid(self, leaf, subleaf=0):
        return self._privileged(ExitReason.CPUID, leaf, self.guest.cpuid, subleaf)

    def rdmsr(self, msr):
        return self._privileged(ExitReason.RDMSR, msr, self.guest.read_msr, self)

    def wrmsr(self, msr, value):
        self._privileged(ExitReason.WRMSR, msr, self.guest.write_msr, value, self)

    def hypercall(self, control, input_gpa=0, output_gpa=0):
        return self._privileged(ExitReason.VMCALL, control, self.guest.hypercall, input_gpa, output_gpa, self)

    def _privileged(self, reason, address, effect, *arguments):
        self._plain(reason, address & 0xFFFF if reason is ExitReason.VMCALL else 0)
        answer = effect(address, *arguments)
        arguments = tuple(argument for argument in arguments if argument is not self)
        self.note(Kind.PRIVILEGED, address, 4, reason=reason, more=(arguments, answer))
        self.attend()
        return answer

    # Interrupts and waiting.

    def _acknowledge(self):
        vector = super()._acknowledge()
        self.note(Kind.INTERRUPT, value=vector)
        return vector

    def hlt(self, timeout_ns=None):
        self._halting = ("HLT", timeout_ns)
        return (yield from super().hlt(timeout_ns))

    def _catch_up(self):
        how, self._halting = self._halting, ("pay",)
        self.note(Kind.WAIT, value=self.interrupts_enabled, more=how)
        yield from super()._catch_up()


def _check_string(ram, gpa):
    if not ram:
        raise ValueError(f"string I/O with memory at {gpa:#x}, which is no RAM, can't be recorded")


def build(cpu_class, machine, ram_mib, host_mib):
    """(guest, devices) on a host of its own, the guest's only vCPU a `cpu_class`."""
    guest = Host(memory_mib=host_mib).guest(ram_mib=ram_mib)
    guest.vcpus[:] = [cpu_class(guest, 0)]
    return guest, machine(guest)


def record(machine, program, ram_mib=1, host_mib=8):
    """Run `program(cpu)` on the model and write down what it does: a `Record`.

    `machine(guest)` puts devices on a guest's buses and returns {name: function()
    that gives a device's state}; it is called again for each replay, so it must build
    the same machine each time.  The guest has one vCPU.  ValueError for registers
    of a passed-through device: no exit, so on a real processor none of the model's business.
    """
    guest, devices = build(RecordingCpu, machine, ram_mib, host_mib)
    cpu, done = guest.cpu, []

    def until_the_end(cpu):
        steps = program(cpu)
        result = (yield from steps) if hasattr(steps, "send") else steps
        done.append((cpu.steps, cpu.now, result))
        cpu.steps = []                    # what `Host.run` does after the program is not the program's
    guest.host.run((cpu, until_the_end))
    steps, end, result = done[0]
    cpu.clock.advance_to(end)
    return Record(steps, machine, ram_mib, host_mib, end, {name: state() for name, state in devices.items()},
                  guest.memory.read(0, guest.ram), cpu.exits.by_instruction(), result)
