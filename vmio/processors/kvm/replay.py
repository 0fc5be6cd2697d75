"""A recorded driver on a real processor, answered by the model's own devices; then both are compared.

    taken = record(machine, program)          on the model
    result = replay(taken)                    under KVM: result.differences is empty if all is equal
    print(result.table())

The devices are new ones, built by the same function.  Time is the record's: before
a device is asked, its clock goes to the time at which the model's was asked,
so timers fire and media answer between the same two accesses.  Where the program
waited, the host's simulation runs as it did then.  Interrupts are taken from the
interrupt controller at their places in the record; their handlers' accesses are
in the program's line, where they were.

Compared: every exit, in order (reason, address, size, direction, value written), what
each device answered, what the guest's code got of it, what it read in RAM, the answers
to privileged instructions, the vectors; at the end all devices' state and all of
the RAM.  What KVM does to exits is predicted by the rules in `expect`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmio.hypervisor.apic import TSC_DEADLINE
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.exits import Exit, ExitReason
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.bus import Bus
from vmio.machine.clock import NEVER
from vmio.processors.kvm import expect
from vmio.processors.kvm.compile import Piece, compile_record, rung
from vmio.processors.kvm.record import Devices, Kind, Record, Step, build
from vmio.processors.kvm.stage import Stage
from vmio.processors.kvm.vcpu import End
from vmio.table import table

SECONDS = 10.0
_STAND_INS = ("CPUID", "RDMSR", "WRMSR", "VMCALL")


class ReplayCpu(VCpu):
    """The model's end of the vCPU: it waits and acknowledges, but spends no time on exits and runs no handler."""

    def _plain(self, reason: ExitReason, address: int, value: int = 0) -> None:
        """An exit of the record: its time has been counted there."""

    def attend(self) -> None:
        """The record says when."""

    def interrupted(self) -> None:
        """The record says when."""


@dataclass
class Replay:
    """What came of it: `differences` are sentences, none if all was equal.

    `end`: how the last piece ended, None if the host gave up within it or there was none.
    `model` and `kvm`: exits by instruction, `rings`: doorbells without an exit, by
    instruction; `pieces`: how many programs it took; `read`: bytes that devices and RAM
    gave, all compared; `ns`: wall-clock time within KVM and this loop.
    """

    model: Counter
    end: End | None = None
    differences: list = field(default_factory=list)
    kvm: Counter = field(default_factory=Counter)
    rings: Counter = field(default_factory=Counter)
    exits: list = field(default_factory=list)
    pieces: int = 0
    read: int = 0
    ns: int = 0

    @property
    def equal(self) -> bool:
        """Counts, bytes and end, all of them."""
        return not self.differences

    @property
    def rules(self) -> dict[str, str]:
        """{instruction: what KVM, or ring 3, makes of it}, for those that aren't done as on the model."""
        rules = {name: expect.RULES["doorbell"] for name in self.rings}
        return rules | {name: expect.RULES.get(name, "") for name, count in self.model.items()
                        if name not in rules and (self.kvm[name] != count or name in _STAND_INS)}

    def table(self) -> str:
        """Return the exits by instruction on the model and under KVM, as fixed-width text."""
        rows = [(name, count, self.kvm[name], self.rings[name], self.rules.get(name, ""))
                for name, count in self.model.items()]
        rows.append(("all", self.model.total(), self.kvm.total(), self.rings.total(), ""))
        return table(rows, ("exits by instruction", "model", "KVM", "rings", "because"))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"end": self.end and self.end.value, "differences": self.differences, "model": dict(self.model),
                "kvm": dict(self.kvm), "rings": dict(self.rings), "because": self.rules, "pieces": self.pieces,
                "bytes_read": self.read, "ns": self.ns}


class Diverged(Exception):
    """The replay isn't the record any more; the text says where and how."""


def replay(record: Record, doorbells: Iterable[int] = (), signals: str = "exit", pieces: Sequence[Piece] | None = None,
           seconds: float = SECONDS, device: str | None = None) -> Replay:
    """Run a `Record` under KVM, at most `seconds` of wall-clock time a piece: a `Replay`.

    `doorbells` and `signals` as in `compile_record`, whose result `pieces` may be given.
    OSError where KVM can't be used.
    """
    pieces = compile_record(record, doorbells, signals) if pieces is None else pieces
    guest, devices = build(ReplayCpu, record.machine, record.ram_mib)
    result = Replay(record.exits)
    bells = {bell for piece in pieces for bell, _ in piece.bells.values()}
    with Stage(guest, record.ports, bells, device) as stage:
        run = _Run(guest, stage, result)
        try:
            guest.host.run((guest.cpu, lambda cpu: run.program(pieces, record.end, seconds)))
        except Diverged as difference:
            result.differences.append(str(difference))
        else:
            result.differences += _final(record, guest, devices)
    return result


def _final(record: Record, guest: Guest, devices: Devices) -> Iterator[str]:
    """What the two machines have come to."""
    for name, state in devices.items():
        state, before = state(), record.state[name]
        if state != before:
            yield f"the state of {name} at the end: {_first(before, state)}"
    memory = guest.memory.read(0, guest.ram)
    if memory != record.memory:
        at = next(at for at, (ours, theirs) in enumerate(zip(memory, record.memory)) if ours != theirs)
        yield f"RAM at {at:#x}: the model has {record.memory[at]:02X}h, the guest under KVM {memory[at]:02X}h"


def _first(before: Any, state: Any) -> str:
    if isinstance(before, dict) and isinstance(state, dict):
        for key in before:
            if before[key] != state.get(key):
                return f"{key}: {_first(before[key], state.get(key))}"
    return f"{before!r} on the model, {state!r} under KVM"


class _Run:
    """The host's part: it answers exits, and sees that each is the one that comes next."""

    def __init__(self, guest: Guest, stage: Stage, result: Replay) -> None:
        self.guest, self.cpu, self.stage, self.result = guest, guest.cpu, stage, result
        self.piece = Piece()               # the one under way
        self.at = self.seen = 0            # in the piece: the next step the host has to do with, the next exit
        self.got = b""                     # what the exits of the step under way have read so far

    def program(self, pieces: Sequence[Piece], end: int, seconds: float) -> Steps[None]:
        """In place of the guest's program on the model: all pieces, with the waits between them."""
        for number, piece in enumerate(pieces):
            self.piece, self.at, self.seen = piece, 0, 0
            if len(piece.code):
                if piece.start is not None:
                    first = next(at for at, step in enumerate(piece.steps) if step.kind in (Kind.READ, Kind.WRITE))
                    self._host_steps(first)
                    self._pass_to(piece.start)
                self._run_piece(f"piece {number + 1} of {len(pieces)}", seconds)
            self._host_steps(len(piece.steps))
            last = piece.steps[-1] if piece.steps else None
            if last is not None and last.kind is Kind.WAIT:
                yield from self._wait(last)
        self._pass_to(end)

    def _run_piece(self, name: str, seconds: float) -> None:
        piece, result = self.piece, self.result
        result.end = None
        run = self.stage.run(piece, self._answer, seconds)
        result.pieces, result.ns, result.end = result.pieces + 1, result.ns + run.ns, run.end
        if run.end is not End.DONE:
            raise Diverged(f"{name} ended otherwise than it must: {run}")
        if self.seen < len(piece.expected):
            raise Diverged(f"{name} ended too early; missing: {piece.expected[self.seen][0]}")
        for at, data, index in piece.log:
            got = self.stage.log(at, len(data))
            result.read += len(data) if index not in piece.bells else 0
            if got != data:
                raise Diverged(f"{piece.steps[index]}: the driver read {_hex(data)}, the guest under KVM {_hex(got)}")

    def _wait(self, step: Step) -> Steps[None]:
        """Let the simulation go on as it did for the driver."""
        self._pass_to(step.time)
        self.cpu.interrupts_enabled = bool(step.value)
        if step.more[0] == "pay":
            return (yield from self.cpu.pay())
        until = step.more[1]
        self.cpu.now -= self.cpu.costs.hypercall_ns      # HLT's exit, which lies before the step's time, comes once more
        yield from self.cpu.hlt(watchdog_ns=None if until == NEVER else max(until - step.time, 0))

    def _pass_to(self, time: int) -> None:
        self.cpu.now = time
        self.cpu.clock.advance_to(time)

    def _host_steps(self, upto: int) -> None:
        """All steps before index `upto` that made no exit but concern the host: vectors, their ends, and doorbells."""
        rang: Counter[int] = Counter()     # by where
        for index in range(self.at, upto):
            step = self.piece.steps[index]
            if step.kind is Kind.END:
                self.cpu.apic.eoi()
            elif step.kind is Kind.INTERRUPT:
                self._pass_to(step.time)
                vector = self.cpu._acknowledge()
                if vector != step.value:
                    raise Diverged(f"interrupt at {step.time} ns: vector {step.value:X}h on the model, {vector:X}h now")
            elif index in self.piece.bells:
                rang[self.piece.bells[index][0]] += 1
                self._heard(step, *self.piece.bells[index])
        self.at = max(self.at, upto)
        for bell, count in rang.items():
            rings = self.stage.bells[bell].rings()
            if rings != count:
                raise Diverged(f"the doorbell at {bell:#x} rang {rings} times, the driver {count}")

    def _heard(self, step: Step, bell: int, shadow: int) -> None:
        """A doorbell rang since the last exit: do what it asks, with the value that the guest has left."""
        value = int.from_bytes(self.stage.log(shadow, 4), "little")
        self.result.rings[step.instruction] += 1
        if value != rung(step):
            raise Diverged(f"{step}: rung with {rung(step):#x} on the model, {value:#x} now")
        self._pass_to(step.time)
        if step.kind is Kind.STORE:
            self.guest.mmio.write(step.address, 4, value)
        else:
            self._privileged(step)

    def _answer(self, exit: Exit) -> int | None:
        """Answer one exit, if it is the one that must come next."""
        piece, place = self.piece, self.seen
        if place == len(piece.expected):
            raise Diverged(f"an exit too many: {exit}")
        expected, index = piece.expected[place]
        step = piece.steps[index]
        write = exit.value if exit.write else None
        if expected != (exit.reason, exit.address, exit.size, exit.write, write, exit.count):
            raise Diverged(f"{step}: expected {expected}, KVM says {exit}")
        if self.at <= index:
            self._host_steps(index)
            self.at, self.got = index + 1, b""
            self._pass_to(step.time)
        self.seen += 1
        self.result.exits.append(exit)
        self.result.kvm[step.instruction] += 1
        if step.kind is Kind.PRIVILEGED:
            return self._privileged(step)
        bus = self.guest.mmio if exit.reason is ExitReason.EPT_VIOLATION else self.guest.io
        if exit.write:
            return bus.write(exit.address, exit.size, exit.value)
        return self._read(step, bus, exit)

    def _read(self, step: Step, bus: Bus, exit: Exit) -> int:
        data = b"".join([bus.read(exit.address, exit.size).to_bytes(exit.size, "little") for _ in range(exit.count)])
        whole = step.data or step.value.to_bytes(step.size, "little")
        should = whole[len(self.got):len(self.got) + len(data)]
        self.got += data
        if data != should:
            raise Diverged(f"{step}: the device answered {_hex(should)} on the model, {_hex(data)} now")
        if step.kind is Kind.INS:
            self.result.read += len(data)
        return int.from_bytes(data, "little")

    def _privileged(self, step: Step) -> None:
        """What the hypervisor does for an instruction that ring 3 may not execute."""
        guest, (arguments, before) = self.guest, step.more
        if step.address == TSC_DEADLINE:
            return                         # the wait that follows lasts as long as it did
        answer: Any
        if step.reason is ExitReason.CPUID:
            answer = guest.cpuid(step.address, *arguments)
        elif step.reason is ExitReason.VMCALL:
            answer = guest.hypercalls[step.address & 0xFFFF](guest, self.cpu, step.address, *arguments)
        else:
            effect: Callable[..., Any] = guest.read_msr if step.reason is ExitReason.RDMSR else guest.write_msr
            answer = effect(step.address, *arguments, self.cpu)
        if answer != before:
            raise Diverged(f"{step}: answered {before} on the model, {answer} now")
        if step.reason is ExitReason.WRMSR:
            self.stage.follow_table()      # it may have shown a page of the hypervisor's, or hidden one


def _hex(data: bytes) -> str:
    return data[:16].hex(" ") + (" ..." if len(data) > 16 else "")
