"""`edu`, QEMU's teaching device: a factorial, an interrupt, and the smallest DMA engine there is.

One buffer of 4 KiB; four registers say from where, to where, how many bytes, and
go.  100 ms later the bytes have moved.
Source: QEMU, docs/specs/edu (register map); sizes, quirks and timing as in QEMU 7.2.
"""

from collections.abc import Callable

from vmio.machine.bus import all_ones
from vmio.machine.contracts import Memory, Pending, State, Timers
from vmio.machine.memory import PAGE, MemoryFault
from vmio.machine.pagetable import TranslationFault

BAR_BYTES = 1 << 20
IDENTITY, LIVENESS, FACTORIAL, STATUS, INTERRUPTS, RAISE, ACKNOWLEDGE = 0x00, 0x04, 0x08, 0x20, 0x24, 0x60, 0x64
SOURCE, DESTINATION, COUNT, COMMAND = 0x80, 0x88, 0x90, 0x98
COMPUTING, INTERRUPT_WHEN_DONE = 0x01, 0x80       # of STATUS
RUN, TO_MEMORY, INTERRUPT = 1, 2, 4               # of COMMAND
FACTORIAL_DONE, DMA_DONE = 0x001, 0x100           # of INTERRUPTS
BUFFER, BUFFER_BYTES = 0x40000, 4096              # where the device's own buffer lies in its address space
DMA_MASK = (1 << 28) - 1
DMA_NS = 100_000_000


class Edu:
    """The 1 MiB behind BAR 0: attach with width=8.

    `memory` is what its DMA reaches; what that refuses reads as zeros and is not
    written.  `interrupt(level)` drives INTx, `message()` sends the MSI while
    `by_message` is set.  `factorial_ns` is how long the factorial takes.
    """

    def __init__(self, clock: Timers, memory: Memory, interrupt: Callable[[int], None] | None = None,
                 message: Callable[[], None] | None = None, dma_mask: int = DMA_MASK, factorial_ns: int = 0) -> None:
        self.clock, self.memory, self.dma_mask, self.factorial_ns = clock, memory, dma_mask, factorial_ns
        self.interrupt, self.message = interrupt or (lambda level: None), message or (lambda: None)
        self.by_message = False
        self.faults = 0          # parts of a transfer that memory refused
        self._timers: dict[str, Pending] = {}    # what is under way, "transfer" or "factorial": its timer
        self.reset()

    def reset(self) -> None:
        """Power-on state; nothing is under way."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers = {}
        self.liveness = self.factorial = self.status = self.pending = 0
        self.dma = {SOURCE: 0, DESTINATION: 0, COUNT: 0, COMMAND: 0}
        self.buffer = bytearray(BUFFER_BYTES)
        self.interrupt(0)

    def read(self, offset: int, size: int) -> int:
        """Registers of 4 bytes below 80h, of 4 or 8 from there; what is none reads as ones, smaller reads as 0."""
        if size < 4 or offset & 3:
            return 0
        if size == 8 and offset & 7:
            return self.read(offset, 4) | self.read(offset + 4, 4) << 32
        if size == 4 or offset >= SOURCE:
            if offset in self.dma:
                return self.dma[offset] & all_ones(size)
            small = {IDENTITY: 0x0100_00ED, LIVENESS: self.liveness, FACTORIAL: self.factorial, STATUS: self.status,
                     INTERRUPTS: self.pending}
            if offset in small:
                return small[offset]
        return all_ones(size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Registers take writes of their own size; the DMA registers none while a transfer runs."""
        if size < 4 or offset & 3:
            return
        if size == 8 and offset & 7:
            self.write(offset, 4, value & 0xFFFF_FFFF)
            self.write(offset + 4, 4, value >> 32)
        elif offset in self.dma:
            if not self.dma[COMMAND] & RUN and (offset != COMMAND or value & RUN):
                self.dma[offset] = value
                if offset == COMMAND:
                    self._later("transfer", self.clock.now // 1_000_000 * 1_000_000 + DMA_NS)   # its timer has ms
        elif size == 4:
            self._write_small(offset, value)

    def _write_small(self, offset: int, value: int) -> None:
        if offset == LIVENESS:
            self.liveness = ~value & 0xFFFF_FFFF
        elif offset == FACTORIAL:
            if not self.status & COMPUTING:
                self.factorial, self.status = value, self.status | COMPUTING
                self._later("factorial", self.clock.now + self.factorial_ns)
        elif offset == STATUS:
            self.status = self.status & ~INTERRUPT_WHEN_DONE | value & INTERRUPT_WHEN_DONE
        elif offset == RAISE:
            self._raise(value)
        elif offset == ACKNOWLEDGE:
            self.pending &= ~value
            if not self.pending and not self.by_message:
                self.interrupt(0)

    def _later(self, what: str, when: int) -> None:
        def due() -> None:
            del self._timers[what]
            (self._transfer if what == "transfer" else self._computed)()
        self._timers[what] = self.clock.call_at(when, due)

    def _computed(self) -> None:
        result, n = 1, self.factorial
        while n > 0 and result:      # 34! and up are 0 modulo 2^32
            result, n = result * n & 0xFFFF_FFFF, n - 1
        self.factorial, self.status = result, self.status & ~COMPUTING
        if self.status & INTERRUPT_WHEN_DONE:
            self._raise(FACTORIAL_DONE)

    def _raise(self, bits: int) -> None:
        self.pending |= bits
        if self.pending and self.by_message:
            self.message()
        elif self.pending:
            self.interrupt(1)

    # DMA.

    def _transfer(self) -> None:
        command, count = self.dma[COMMAND], self.dma[COUNT]
        to_memory = command & TO_MEMORY
        inside = self.dma[SOURCE if to_memory else DESTINATION] - BUFFER
        outside = self.dma[DESTINATION if to_memory else SOURCE] & self.dma_mask
        if 0 <= inside and inside + count <= BUFFER_BYTES:    # past its buffer it moves nothing
            self._move(outside, inside, count, to_memory)
        self.dma[COMMAND] &= ~RUN
        if command & INTERRUPT:
            self._raise(DMA_DONE)

    def _move(self, outside: int, inside: int, count: int, to_memory: int) -> None:
        """Page by page: a page that is refused does not stop the next."""
        end = inside + count
        while inside < end:
            step = min(PAGE - (outside & PAGE - 1), end - inside)
            try:
                if to_memory:
                    self.memory.write(outside, bytes(self.buffer[inside:inside + step]))
                else:
                    self.buffer[inside:inside + step] = self.memory.read(outside, step)
            except (TranslationFault, MemoryFault):
                self.faults += 1
                if not to_memory:
                    self.buffer[inside:inside + step] = bytes(step)
            outside, inside = outside + step, inside + step

    def save(self) -> State:
        """Registers, buffer, and when what is under way ends."""
        return {"liveness": self.liveness, "factorial": self.factorial, "status": self.status, "pending": self.pending,
                "dma": {str(at): value for at, value in self.dma.items()}, "buffer": self.buffer.hex(),
                "due": {what: timer.when for what, timer in self._timers.items()}}

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        self.reset()
        for name in ("liveness", "factorial", "status", "pending"):
            setattr(self, name, state[name])
        self.dma = {int(at): value for at, value in state["dma"].items()}
        self.buffer = bytearray.fromhex(state["buffer"])
        for what, when in state["due"].items():
            self._later(what, when)
        if self.pending and not self.by_message:
            self.interrupt(1)
