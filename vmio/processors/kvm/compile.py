"""A record as machine code: pieces of straight x86-64 code that do the same accesses in the same order.

What the driver read from RAM or a device, the code reads too, and keeps in a log
that the host compares afterwards.  What it wrote is in the code, or beside it.

A piece ends where the host must have its say before the next instruction: the
program waited (HLT), or RAM is touched after time has passed or a doorbell has
rung without an exit - a device may have written there.  A driver would look
again and again; a straight line can't.  It also ends when its room is used up.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from vmio.hypervisor.exits import ExitReason
from vmio.hypervisor.hyperv import tlfs
from vmio.processors.kvm import expect
from vmio.processors.kvm.code import Code
from vmio.processors.kvm.record import Kind, Record, Step

# Guest-physical: a slot for tables, program, data to be written, and log; above a guest's
# RAM, below its devices.  CODE is `longmode.CODE`.
BASE, BYTES = 0xC000_0000, 0x20_0000
CODE, LITERALS, LOG = 0x1_0000, 0x8_0000, 0x10_0000
SIGNAL = BASE + BYTES            # a store here stands in for HvCallSignalEvent
DONE_PORT = 0xF4                 # as `guest.DONE_PORT`
MAX_RAM_MIB = 1792
_MAX_BYTES = 0x1_0000           # of RAM in one step; longer ones are cut
_STEP_CODE = 64                  # bytes of code that a step takes at most
_WHOLE = (1, 2, 4, 8)            # bytes that one MOV moves


@dataclass
class Piece:
    """Code that runs from its first byte to its last, and what must be seen of it.

    `steps` are those of the record, in order; the code is that of some of them.
    `start`: the model's time that the host must have reached before, None: any.
    `expected`: (`Expected`, index of its step).  `log`: (offset in the log, what the
    code must have read there, index of its step).  `bells`: {index of a step that rings
    without an exit: (where it rings, where in the log the code leaves its value)}.
    """

    code: Code = field(default_factory=Code)
    literals: bytearray = field(default_factory=bytearray)
    steps: list = field(default_factory=list)
    start: int | None = None
    expected: list = field(default_factory=list)
    log: list = field(default_factory=list)
    bells: dict = field(default_factory=dict)
    log_bytes: int = 0

    def has_room(self, size: int) -> bool:
        """Return whether a step that reads or writes `size` bytes still fits."""
        return (CODE + len(self.code) + 2 * _STEP_CODE <= LITERALS and LITERALS + len(self.literals) + size <= LOG
                and LOG + self.log_bytes + size <= BYTES)

    def literal(self, data: bytes) -> int:
        """Lay `data` beside the code; returns its address."""
        at = BASE + LITERALS + len(self.literals)
        self.literals += data
        return at

    def keep(self, data: bytes) -> int:
        """Keep room in the log for what the last step reads, which should be `data`; returns its address."""
        at, self.log_bytes = self.log_bytes, self.log_bytes + len(data)
        self.log.append((at, data, len(self.steps) - 1))
        return BASE + LOG + at


def compile_record(record: Record, doorbells: Iterable[int] = (), signals: str = "exit") -> list[Piece]:
    """Return the `Piece`s of `record`.

    `doorbells`: addresses of device memory where a store of 4 bytes rings an ioeventfd.
    `signals`: a VMBus signal, a VMCALL, leaves the guest by an "exit" to its stand-in port, or
    is a store to a "doorbell" of its own.  ValueError for a record that can't be compiled.
    """
    if signals not in ("exit", "doorbell"):
        raise ValueError(f"signals {signals!r}: choose exit or doorbell")
    if record.ram_mib > MAX_RAM_MIB:
        raise ValueError(f"{record.ram_mib} MiB of RAM: a replay takes {MAX_RAM_MIB} at most")
    _check_addresses(record)
    compiler = _Compiler(frozenset(doorbells), signals)
    for step in record.steps:
        for part in _parts(step):
            compiler.add(part)
    return compiler.pieces


def _check_addresses(record: Record) -> None:
    taken = record.ports & {DONE_PORT, *range(expect.STAND_IN, expect.STAND_IN + 4)}
    if taken:
        raise ValueError(f"port {min(taken):#x}: the replay needs it for itself")
    if max(record.ports, default=0) > 0xFFFF:
        raise ValueError("an access beyond port 0xffff: the task state's bitmap, which grants ports, ends there")
    for step in record.steps:
        if step.kind in (Kind.LOAD, Kind.STORE) and (
                step.address + step.size > 1 << 32 or BASE <= step.address <= SIGNAL):
            raise ValueError(f"device memory at {step.address:#x}: it must be below 4 GiB, and not "
                             f"from {BASE:#x} to {SIGNAL:#x}")


def _parts(step: Step) -> list[Step]:
    """The step, in parts if it moves more RAM than a piece has room for."""
    if step.kind not in (Kind.READ, Kind.WRITE) or len(step.data) <= _MAX_BYTES:
        return [step]
    return [step._replace(memory=step.memory + at, data=step.data[at:at + _MAX_BYTES])
            for at in range(0, len(step.data), _MAX_BYTES)]


class _Compiler:
    def __init__(self, doorbells: Iterable[int], signals: str) -> None:
        self.doorbells, self.signals = doorbells, signals
        self.pieces = [Piece()]
        self._seen: int | None = None    # the time at which devices last had their say; None: not since a doorbell

    def add(self, step: Step) -> None:
        """Append a step's code, to a new piece if it must be."""
        piece, ram = self.pieces[-1], step.kind in (Kind.READ, Kind.WRITE)
        late = ram and self._seen != step.time
        if len(piece.code) and (late or not piece.has_room(max(len(step.data), 8))):
            piece = self._cut()
        if ram and not len(piece.code):
            piece.start = self._seen = step.time
        piece.steps.append(step)
        bell = self._bell(step)
        if ram:
            _move(piece, step)
        elif bell is not None:
            _ring(piece, step, bell)
            self._seen = None
        elif step.kind is Kind.WAIT:
            self._cut()
        else:
            _access(piece, step)
            expected = expect.exits(step)
            if expected:
                piece.expected += [(exit, len(piece.steps) - 1) for exit in expected]
                self._seen = step.time

    def _cut(self) -> Piece:
        self.pieces.append(Piece())
        self._seen = None
        return self.pieces[-1]

    def _bell(self, step: Step) -> int | None:
        """Where this step rings without an exit, or None."""
        if step.kind is Kind.STORE and step.size == 4 and step.address in self.doorbells:
            return step.address
        return SIGNAL if self.signals == "doorbell" and is_signal(step) else None


def is_signal(step: Step) -> bool:
    """Is it HvCallSignalEvent?"""
    return step.reason is ExitReason.VMCALL and step.address & 0xFFFF == tlfs.SIGNAL_EVENT


def rung(step: Step) -> int:
    """Return the value of 4 bytes with which a step rings: the store's own, or the connection that a signal is for."""
    return step.value if step.kind is Kind.STORE else step.more[0][0]


def _ring(piece: Piece, step: Step, bell: int) -> None:
    """An eventfd carries no value, so the guest leaves it in memory first - as NVMe's shadow doorbells do."""
    shadow = piece.keep(rung(step).to_bytes(4, "little"))
    piece.bells[len(piece.steps) - 1] = bell, shadow - BASE - LOG
    piece.code.store(shadow, rung(step)).store(bell, rung(step))


def _move(piece: Piece, step: Step) -> None:
    """RAM: one MOV if it is as large as a register, else REP MOVSB."""
    code, size = piece.code, len(step.data)
    if step.kind is Kind.READ:
        if size in _WHOLE:
            code.load(step.memory, size, to=piece.keep(step.data))
        elif size:
            code.copy(piece.keep(step.data), step.memory, size)
    elif size in _WHOLE:
        code.store(step.memory, int.from_bytes(step.data, "little"), size)
    elif size:
        code.copy(step.memory, piece.literal(step.data), size)


def _access(piece: Piece, step: Step) -> None:
    """A port, device memory, or what stands in for an instruction of ring 0."""
    code, read = piece.code, step.value.to_bytes(step.size, "little") if step.kind in (Kind.IN, Kind.LOAD) else b""
    if step.kind is Kind.IN:
        code.in_(step.address, step.size, to=piece.keep(read))
    elif step.kind is Kind.OUT:
        code.out(step.address, step.value, step.size)
    elif step.kind is Kind.INS:
        code.rep_ins(step.address, step.memory, step.count, step.size)
    elif step.kind is Kind.OUTS:
        code.rep_outs(step.address, step.memory, step.count, step.size)
    elif step.kind is Kind.LOAD:
        code.load(step.address, step.size, to=piece.keep(read))
    elif step.kind is Kind.STORE:
        code.store(step.address, step.value, step.size)
    elif step.kind is Kind.PRIVILEGED:
        code.out(expect.STAND_IN, step.address & 0xFFFF_FFFF, 4)
