"""The invalidation queue: descriptors in memory that say what the caches shall forget.

Software writes descriptors of 16 bytes in a ring, moves the tail register, and
lets a wait descriptor tell it that all before it is done.
Source: Intel VT-d specification 6.5.2 "Queued Invalidation Interface".
"""

from typing import Protocol

from vmio.machine.bits import BitLayout, bit, bits
from vmio.machine.contracts import Memory, Record, State
from vmio.machine.memory import MemoryFault
from vmio.machine.pagetable import TranslationFault
from vmio.passthrough.iommu.remapper import Remapper

_FAULTS = (MemoryFault, TranslationFault)
NONE, CONTEXT, IOTLB, DEVICE_TLB, INTERRUPT, WAIT, PASID_TLB, PASID_CACHE = range(8)
_QUEUE_HEAD, _QUEUE_ADDRESS = 0x80, 0x90
_TYPE = bits("type", 3, 0, "", {CONTEXT: "context cache", IOTLB: "IOTLB", DEVICE_TLB: "device TLB", WAIT: "wait"})
_GRANULARITY = bits("granularity", 5, 4, "", {1: "global", 2: "domain", 3: "device or page"})
_ADDRESS = bits("page", 127, 76, "address, in pages")
DESCRIPTORS = {layout.name: layout for layout in (
    BitLayout("CONTEXT_INVALIDATE", 128, _TYPE, _GRANULARITY, bits("domain", 31, 16), bits("requester", 47, 32),
              bits("ignored", 49, 48, "FM: function bits that need not match")),
    BitLayout("IOTLB_INVALIDATE", 128, _TYPE, _GRANULARITY, bit("drain_writes", 6), bit("drain_reads", 7),
              bits("domain", 31, 16), bits("mask", 69, 64, "2^mask pages"), bit("hint", 70, "leaves only"), _ADDRESS),
    BitLayout("DEVICE_TLB_INVALIDATE", 128, _TYPE, bits("max_pending", 20, 16), bits("requester", 47, 32),
              bit("size", 64), _ADDRESS),
    BitLayout("INVALIDATION_WAIT", 128, _TYPE, bit("interrupt", 4), bit("write", 5), bit("fence", 6),
              bits("data", 63, 32), bits("address", 127, 66, "in dwords")))}
_BY_TYPE = dict(zip((CONTEXT, IOTLB, DEVICE_TLB, WAIT), DESCRIPTORS.values()))
ENTRY_BYTES = next(iter(DESCRIPTORS.values())).size


class QueueRegisters(Protocol):
    """The registers around the queue; see `VtdRegisters`."""

    remapper: Remapper

    def get64(self, offset: int) -> int:
        """Return a 64-bit register."""

    def invalidate_contexts(self, kind: int, requester: int, function_mask: int) -> None:
        """Forget context entries."""

    def invalidate_iotlb(self, kind: int, domain: int, address: int, log2_pages: int) -> bool:
        """Forget translations."""

    def completed(self) -> None:
        """A wait with an interrupt is over."""


class InvalidationQueue:
    """The queue behind `registers` (a `VtdRegisters`): `switch` on and off, then `tail_written()` runs it."""

    def __init__(self, registers: QueueRegisters) -> None:
        self.registers = registers
        self.reset()

    def reset(self) -> None:
        """Be off and empty."""
        self.enabled = False
        self.base = self.entries = self.head = self.tail = 0
        self.last = NONE

    def register(self, offset: int) -> int:
        """Return the head register, or a half of the address register: it shows what is in use, and the size as written."""
        if offset == _QUEUE_HEAD:
            return self.head << 4
        if offset == _QUEUE_ADDRESS:
            return self.base & 0xFFFF_FFFF | self.registers.get64(_QUEUE_ADDRESS) & 7
        return self.base >> 32

    def switch(self, on: bool) -> bool:
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

    def tail_written(self) -> None:
        """The tail register moved."""
        self.tail = self.registers.get64(0x88) >> 4 & 0x7FFF
        if self.enabled:
            self._run()

    def _run(self) -> None:
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

    def _step(self) -> bool:
        """Carry out the descriptor at the head; False if it can't be."""
        memory, registers = self.registers.remapper.memory, self.registers
        try:
            raw = memory.read(self.base + ENTRY_BYTES * self.head, ENTRY_BYTES)
        except _FAULTS:
            self.last = NONE
            return False
        number = int.from_bytes(raw, "little")
        self.last = kind = number & 0xF
        layout = _BY_TYPE.get(kind)
        if layout is None:
            return kind in (INTERRUPT, PASID_TLB, PASID_CACHE)   # caches that are not here
        if number & layout.reserved:
            return False
        descriptor = layout.take(number)
        if kind == CONTEXT:
            granularity = descriptor.granularity
            if granularity:
                registers.invalidate_contexts(granularity, descriptor.requester, descriptor.ignored)
            return bool(granularity)
        if kind == IOTLB:
            return registers.invalidate_iotlb(descriptor.granularity, descriptor.domain, descriptor.page << 12, descriptor.mask)
        return kind == DEVICE_TLB or self._wait(memory, descriptor)

    def _wait(self, memory: Memory, descriptor: Record) -> bool:
        if descriptor.write:
            try:
                memory.write(descriptor.address << 2, descriptor.data.to_bytes(4, "little"))
            except _FAULTS:
                return False
        if descriptor.interrupt:
            self.registers.completed()
        return bool(descriptor.write or descriptor.interrupt)

    def save(self) -> State:
        """Return where the queue is, and how far."""
        return {name: getattr(self, name) for name in ("enabled", "base", "entries", "head", "tail", "last")}

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        for name, value in state.items():
            setattr(self, name, value)
