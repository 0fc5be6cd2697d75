"""One function of the matrix engine: registers, a ring of descriptors, 64 KiB of on-chip memory of its own, one interrupt.

Software puts descriptors into the ring and writes the tail, the doorbell.  The function fetches each once, into a copy of its
own: what is changed afterwards changes nothing.  After one that asks for an interrupt it writes how far it is behind the ring's
last entry, then sends its message, so that software need read no register.  What can't be done halts the function, until it is reset.
Or without a ring: software fills the on-chip memory by itself, writes one descriptor into registers, and starts it.
"""

from collections import deque

from vmio.devices.pci.dma import NoMemory
from vmio.devices.pci.msix import Msix
from vmio.hardware.accelerator import job as work
from vmio.hardware.accelerator import registers as r
from vmio.hardware.accelerator.engine import Engine
from vmio.hardware.accelerator.job import Refused
from vmio.hardware.accelerator.registers import DESCRIPTOR, WRITTEN, Error, Op
from vmio.machine.checkpoint import Form, State, same, same_entries
from vmio.machine.clock import Timer
from vmio.machine.contracts import Memory, Pending, Record, Timers
from vmio.machine.memory import MemoryFault
from vmio.machine.pagetable import TranslationFault

NO_DESCRIPTOR = bytes(DESCRIPTOR.size)
KEPT = "control", "base", "size", "head", "tail", "written_tail", "done"       # whole numbers
FUNCTION = Form("function of a matrix engine", 1, "numbers", "error", "halts", "direct", "sram", "msix", "bells", "job", "started")


class EngineFunction:
    """The registers behind BAR 0.  `engine` is shared with the device's other functions; `clock` says when a store comes in.

    `memory`, what its DMA reaches, is set by its PCI function.  `done` counts descriptors, `halts` by `Error` how often it stopped.
    """

    def __init__(self, engine: Engine, clock: Timers) -> None:
        self.engine, self.clock = engine, clock
        self.memory: Memory = NoMemory
        self.msix = Msix(1, lambda vector: None)
        self.done, self.halts = 0, dict.fromkeys(Error, 0)
        self._bells: deque[tuple[int, int, Pending]] = deque()      # (ns, tail, timer) of doorbells that are on their way
        self.sram = bytearray(r.SRAM_BYTES)
        self._forget()

    def reset(self) -> None:
        """All is as at power-on; what was under way is void, and nothing of it is left on the chip."""
        self._forget()
        self.clear()
        self.msix.reset()

    def clear(self) -> None:
        """Scrub the on-chip memory: the next owner finds zeros there."""
        self.sram[:] = bytes(r.SRAM_BYTES)

    def _drop(self) -> None:
        """What is under way is void, and what was rung."""
        self.engine.forget(self)
        for _, _, timer in self._bells:
            timer.cancel()
        self._bells.clear()
        self._job: Record = None             # the operation under way, the function's own copy
        self._started = False                # the one in the registers was started

    def _forget(self) -> None:
        self._drop()
        self.control = self.base = self.size = self.head = self.tail = self.written_tail = 0
        self.error = Error.NONE
        self.direct = bytearray(NO_DESCRIPTOR)

    # Registers.

    def read(self, offset: int, size: int) -> int:
        """Return a register, by whole words, or any bytes of the on-chip memory; 0 where nothing is."""
        if offset >= r.SRAM:
            return int.from_bytes(self.sram[offset - r.SRAM:offset - r.SRAM + size], "little")
        if size != 4 or offset & 3:
            return 0
        if r.TABLE <= offset < r.TABLE + r.PENDING:
            return self.msix.read_pending(offset - r.PENDING, 4) if offset >= r.PENDING else self.msix.read_table(offset - r.TABLE, 4)
        if r.DIRECT <= offset < r.DIRECT + DESCRIPTOR.size:
            return int.from_bytes(self.direct[offset - r.DIRECT:offset - r.DIRECT + 4], "little")
        return {r.ID: r.IDENTITY, r.FEATURES: r.LANES | r.SRAM_BYTES >> 10 << 16, r.CONTROL: self.control, r.STATUS: self.status,
                r.RING_LOW: self.base & 0xFFFF_FFFF, r.RING_HIGH: self.base >> 32, r.RING_SIZE: self.size, r.HEAD: self.head,
                r.TAIL: self.written_tail}.get(offset, 0)

    @property
    def status(self) -> int:
        """The STATUS register."""
        busy = bool(self._job is not None or self._bells or self._started or self.head != self.tail)
        halted = self.error != Error.NONE
        return r.BUSY * (busy and not halted) | r.HALTED * halted | self.error << 8

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register, by whole words, or any bytes of the on-chip memory; elsewhere nothing happens."""
        if offset >= r.SRAM:
            at = offset - r.SRAM
            if at + size <= r.SRAM_BYTES:
                self.sram[at:at + size] = value.to_bytes(size, "little")
        elif size == 4 and not offset & 3:
            self._write(offset, value)

    def _write(self, offset: int, value: int) -> None:
        if r.TABLE <= offset < r.PENDING:
            self.msix.write_table(offset - r.TABLE, 4, value)
        elif r.DIRECT <= offset < r.DIRECT + DESCRIPTOR.size:
            if not self._started:
                self.direct[offset - r.DIRECT:offset - r.DIRECT + 4] = value.to_bytes(4, "little")
        elif offset == r.CONTROL:
            self._obey(value)
        elif offset == r.TAIL:
            self._doorbell(value)
        elif not self.control & r.RUN:               # of a ring that runs nothing is changed
            if offset == r.RING_LOW:
                self.base = self.base & ~0xFFFF_FFFF | value
            elif offset == r.RING_HIGH:
                self.base = self.base & 0xFFFF_FFFF | value << 32
            elif offset == r.RING_SIZE:
                self.size = value

    def _obey(self, value: int) -> None:
        if value & r.RESET:
            self._forget()
            self.clear()
            return
        if value & r.RUN and not self.control & r.RUN and not (2 <= self.size <= r.MAX_ENTRIES and self.base % DESCRIPTOR.size == 0):
            self._refuse(Error.RING)
            return
        if self.control & r.RUN and not value & r.RUN:
            self._drop()
            self.head = self.tail = self.written_tail
        self.control = value & r.RUN
        if value & r.START and not self._started and self.error == Error.NONE:
            self._started = True
            self._ring(self.written_tail)

    def _doorbell(self, tail: int) -> None:
        if not self.control & r.RUN or self.error != Error.NONE:
            return
        if tail >= self.size:
            self._refuse(Error.RING)
            return
        self.written_tail = tail
        self._ring(tail)

    def _ring(self, tail: int) -> None:
        """Be told at the time of the store; of several in one nanosecond the last counts."""
        now = self.clock.now
        if self._bells and self._bells[-1][0] == now:
            self._bells[-1] = now, tail, self._bells[-1][2]
        else:
            self._bells.append((now, tail, self.clock.call_at(now, self._rung)))

    def _rung(self) -> None:
        _, self.tail, _ = self._bells.popleft()
        self.engine.ready(self)

    # The engine's side.

    def begin(self) -> int | None:
        """See `User`: the next descriptor is fetched, once, and looked at."""
        if self.error != Error.NONE or not (self._started or self.control & r.RUN and self.head != self.tail):
            return None
        try:
            job = DESCRIPTOR.parse(bytes(self.direct) if self._started else self._fetch())
            work.check(job)
            if job.op == Op.JUMP and (self._started or job.rows >= self.size):
                raise Refused(Error.RING)
        except Refused as refused:
            self._halt(refused.error)
            return None
        self._job = job
        return work.duration(job, fetched=not self._started)

    def _fetch(self) -> bytes:
        try:
            return self.memory.read(self.base + DESCRIPTOR.size * self.head, DESCRIPTOR.size)
        except (TranslationFault, MemoryFault):
            raise Refused(Error.DMA) from None

    def finish(self) -> None:
        """See `User`: the operation's effects, all at its end."""
        job, self._job = self._job, None
        try:
            work.do(job, self.sram, self.memory)
        except Refused as refused:
            self._halt(refused.error)
            return
        self.done += 1
        if self._started:
            self._started = False
        else:
            self.head = job.rows if job.op == Op.JUMP else (self.head + 1) % self.size
        if job.flags & r.INTERRUPT:
            self._tell()

    def over_limit(self) -> None:
        """See `User`: the job is ended."""
        self._halt(Error.LIMIT)

    def _refuse(self, error: Error) -> None:
        """Halt because of a register."""
        self._drop()
        self._halt(error)

    def _halt(self, error: Error) -> None:
        """Stop, and say why."""
        if self.error == Error.NONE:
            self.error, self._job, self._started = error, None, False
            self.halts[error] += 1
            self._tell()

    def _tell(self) -> None:
        """Write down how far it is, then interrupt; where nothing can be written, the interrupt comes alone."""
        if self.control & r.RUN:
            try:
                self.memory.write(self.base + DESCRIPTOR.size * self.size, WRITTEN.pack(head=self.head, status=self.status))
            except (TranslationFault, MemoryFault):
                if self.error == Error.NONE:
                    self.error = Error.DMA
                    self.halts[Error.DMA] += 1
        if self.msix.enabled:
            self.msix.notify(0)

    # Checkpoint.

    def timers(self) -> list[tuple[str, Timer | None]]:
        """Return the doorbells that are on their way, as (name, timer) pairs."""
        return [(f"doorbell {number}", timer) for number, (_, _, timer) in enumerate(self._bells) if isinstance(timer, Timer)]

    def save(self) -> State:
        """Return registers, on-chip memory, the operation under way, and doorbells as [ns, tail, when they are heard]."""
        return FUNCTION.state(
            numbers=[getattr(self, name) for name in KEPT], error=self.error, halts=list(self.halts.values()), direct=self.direct, sram=self.sram,
            msix=self.msix.save(), bells=[[ns, tail, timer.when] for ns, tail, timer in self._bells],
            job=None if self._job is None else DESCRIPTOR.pack(**self._job._asdict()), started=self._started)

    def restore(self, state: State) -> None:
        """Take back what `save` gave; the engine has it in hand as it had, and the clock then gets the `timers`."""
        saved = FUNCTION.take(state)
        same_entries("MSI-X", saved["msix"], self.msix.save())
        same("function of a matrix engine, bytes", [len(saved["direct"]), len(saved["sram"])], [len(self.direct), len(self.sram)])
        for name, value in zip(KEPT, saved["numbers"], strict=True):
            setattr(self, name, value)
        self.error, self.halts = Error(saved["error"]), dict(zip(Error, saved["halts"], strict=True))
        self.direct[:], self.sram[:] = saved["direct"], saved["sram"]
        self.msix.restore(saved["msix"])
        self._bells = deque((ns, tail, Timer(when, self._rung)) for ns, tail, when in saved["bells"])
        self._job = None if saved["job"] is None else DESCRIPTOR.parse(saved["job"])
        self._started = saved["started"]
