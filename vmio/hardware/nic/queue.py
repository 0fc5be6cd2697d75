"""A ring of descriptors in memory: base, length, head and tail, and whether the card works on it."""

from typing import Any

from vmio.hardware.nic import registers as r
from vmio.hardware.nic.descriptors import BYTES
from vmio.machine.checkpoint import Form, State
from vmio.machine.memory import MemoryFault
from vmio.machine.pagetable import TranslationFault

FAULTS = (TranslationFault, MemoryFault)
MASKS = {r.LOW: 0xFFFF_FF80, r.HIGH: 0xFFFF_FFFF, r.LENGTH: 0xF_FF80, r.SRRCTL: 0xFFFF_FFFF, r.HEAD: 0xFFFF, r.DCA: 0xFFFF_FFFF,
         r.TAIL: 0xFFFF, r.CONTROL: 0xFFFF_FFFF}
RING = Form("network card's queue", 1, "registers", "head", "dead")


class Ring:
    """A queue's registers, {offset: value}; `card` is its `VirtualNic`.

    A transfer that memory refuses, or a head or tail behind the ring's end, makes it `dead`: nothing moves until the queue is
    enabled anew.
    """

    def __init__(self, card: Any) -> None:
        self.card = card
        self.power_on()

    def power_on(self) -> None:
        """Have all registers as after the function's reset."""
        self.registers = dict.fromkeys(MASKS, 0)
        self.base = self.entries = self.head = self.tail = 0
        self.enabled = self.dead = False

    def stop(self) -> None:
        """A reset by the VF's own CTRL: the queue is off, its other registers stay."""
        self.write(r.CONTROL, self.registers[r.CONTROL] & ~r.ENABLE)

    def read(self, register: int) -> int:
        """Return a register; what isn't there reads 0."""
        return self.head if register == r.HEAD else self.registers.get(register, 0)

    def write(self, register: int, value: int) -> None:
        """Write a register; what isn't there takes nothing."""
        if register not in MASKS:
            return
        value &= MASKS[register]
        self.registers[register] = value
        if register == r.TAIL:
            self.tail = value
        elif register == r.HEAD:
            self.head = value
        elif register == r.CONTROL:
            self.dead = self.dead and self.enabled
            self.enabled = bool(value & r.ENABLE)
        else:
            self.base = self.registers[r.LOW] | self.registers[r.HIGH] << 32
            self.entries = self.registers[r.LENGTH] // BYTES

    @property
    def works(self) -> bool:
        """Whether there are descriptors that the card may take."""
        return self.enabled and not self.dead and self.head != self.tail and self.head < self.entries and self.tail < self.entries

    def fail(self) -> None:
        """Memory has refused a transfer."""
        self.dead = True
        self.card.faults += 1

    def save(self) -> State:
        """Return the registers, the head, and whether it is dead."""
        return RING.state(registers=[[at, value] for at, value in self.registers.items()], head=self.head, dead=self.dead)

    def restore(self, state: State) -> None:
        """Take back what `save` gave; no doorbell rings."""
        saved = RING.take(state)
        for at, value in saved["registers"]:
            Ring.write(self, at, value)
        self.head, self.dead = saved["head"], saved["dead"]
