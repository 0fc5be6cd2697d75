"""A vCPU's local APIC, as far as interrupts need it: requested, in service, end of interrupt.

Higher vectors first; a vector is delivered only above the priority class (its
upper four bits) of what is in service.  Source: Intel SDM vol. 3A, "Interrupt,
Task, and Processor Priority" and "Interrupt Acceptance for Fixed Interrupts".
"""


X2APIC_EOI = 0x80B   # the MSR: SDM vol. 3A, "x2APIC Register Address Space"


class LocalApic:
    """`request(vector)` from outside, `acknowledge()` at injection, `eoi()` by the guest; `changed()` tells the vCPU."""

    def __init__(self, changed):
        self.irr = self.isr = 0   # bit n is vector n
        self._changed = changed

    def request(self, vector):
        """An edge: the vector is pending until the vCPU takes it; a second one meanwhile merges with it."""
        if not 16 <= vector <= 255:
            raise ValueError(f"interrupt vector {vector}: 16 to 255")
        self.irr |= 1 << vector
        self._changed()

    @property
    def ready(self):
        """A pending vector is above what is in service."""
        return self.irr.bit_length() - 1 >> 4 > self.isr.bit_length() - 1 >> 4

    def acknowledge(self, auto_eoi=False):
        """Take the highest pending vector into service (`auto_eoi`: it leaves at once)."""
        vector = self.irr.bit_length() - 1
        self.irr &= ~(1 << vector)
        if not auto_eoi:
            self.isr |= 1 << vector
        self._changed()
        return vector

    def eoi(self):
        """The highest vector in service is done.  Returns it, or None if none was."""
        if not self.isr:
            return None
        vector = self.isr.bit_length() - 1
        self.isr &= ~(1 << vector)
        self._changed()
        return vector
