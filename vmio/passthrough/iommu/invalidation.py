"""The invalidation queue: descriptors in memory that say what the caches shall forget.

Software writes descriptors of 16 bytes in a ring, moves the tail register, and
lets a wait descriptor tell it that all before it is done.
Source: Intel VT-d specification 6.5.2 "Queued Invalidation Interface".
"""

from vmio.machine.memory import MemoryFault
from vmio.machine.pagetable import TranslationFault

_FAULTS = (MemoryFault, TranslationFault)
NONE, CONTEXT, IOTLB, DEVICE_TLB, INTERRUPT, WAIT, PASID_TLB, PASID_CACHE = range(8)
_QUEUE_HEAD, _QUEUE_ADDRESS = 0x80, 0x90
_RESERVED = {CONTEXT: (0xFFFC_0000_0000_FFC0, ~0), IOTLB: (0xFFFF_FFFF_0000_FF00, 0xF80),
             DEVICE_TLB: (0xFFFF_0000_FFE0_FFF0, 0xFFE), WAIT: (0xFFFF_FF80, 3)}
_WAIT_INTERRUPT, _WAIT_WRITE = 1 << 4, 1 << 5


class InvalidationQueue:
    """The queue behind `registers` (a `VtdRegisters`): `switch` on and off, then `tail_written()` runs it."""

    def __init__(self, registers):
        self.registers = registers
        self.reset()

    def reset(self):
        """Off and empty."""
        self.enabled = False
        self.base = self.entries = self.head = self.tail = 0
        self.last = NONE

    def register(self, offset):
        """The head register, or a half of the address register: it shows what is in use, and the size as written."""
        if offset == _QUEUE_HEAD:
            return self.head << 4
        if offset == _QUEUE_ADDRESS:
            return self.base & 0xFFFF_FFFF | self.registers.get64(_QUEUE_ADDRESS) & 7
        return self.base >> 32

    def switch(self, on):
        """QIE changed.  Off only when the queue is empty and ended with a wait: False if it stays on."""
        if not on:
            if self.head != self.tail or self.last != WAIT:
                return False
            self.enabled, self.head = False, 0
            return True
        address = self.registers.get64(_QUEUE_ADDRESS)
        self.base = address & (1 << self.registers.remapper.width) - 1 & ~0xFFF
        self.entries = 256 << (address & 7)
        self.enabled = True
        if self.tail:
            self._run()       # against the specification, but Windows writes the tail first
        return True

    def tail_written(self):
        """The tail register moved."""
        self.tail = self.registers.get64(0x88) >> 4 & 0x7FFF
        if self.enabled:
            self._run()

    def _run(self):
        faults = self.registers.remapper.faults
        if faults.queue_error:
            return            # stopped, until software has seen to it
        if self.tail >= self.entries or self.head >= self.entries:
            faults.queue_failed()
            return
        while self.head != self.tail:
            if not self._step():
                faults.queue_failed()
                return
            self.head = (self.head + 1) % self.entries

    def _step(self):
        """Carry out the descriptor at the head; False if it can't be."""
        memory, registers = self.registers.remapper.memory, self.registers
        try:
            raw = memory.read(self.base + 16 * self.head, 16)
        except _FAULTS:
            self.last = NONE
            return False
        low, high = int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little")
        self.last = kind = low & 0xF
        reserved_low, reserved_high = _RESERVED.get(kind, (0, 0))
        if low & reserved_low or high & reserved_high:
            return False
        granularity = low >> 4 & 3
        if kind == CONTEXT:
            if granularity:
                registers.invalidate_contexts(granularity, low >> 32 & 0xFFFF, low >> 48 & 3)
            return bool(granularity)
        if kind == IOTLB:
            return registers.invalidate_iotlb(granularity, low >> 16 & 0xFFFF, high & ~0xFFF, high & 0x3F)
        if kind == WAIT:
            return self._wait(memory, low, high)
        return kind in (DEVICE_TLB, INTERRUPT, PASID_TLB, PASID_CACHE)   # caches that are not here

    def _wait(self, memory, low, high):
        if low & _WAIT_WRITE:
            try:
                memory.write(high, (low >> 32).to_bytes(4, "little"))
            except _FAULTS:
                return False
        if low & _WAIT_INTERRUPT:
            self.registers.completed()
        return bool(low & (_WAIT_WRITE | _WAIT_INTERRUPT))

    def save(self):
        """Where the queue is, and how far."""
        return {name: getattr(self, name) for name in ("enabled", "base", "entries", "head", "tail", "last")}

    def restore(self, state):
        """Take back what `save` gave."""
        for name, value in state.items():
            setattr(self, name, value)
