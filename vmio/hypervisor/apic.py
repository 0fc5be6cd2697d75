"""A vCPU's local APIC, as far as interrupts need it: requested, in service, end of interrupt.

Higher vectors first; a vector is delivered only above the priority class (its
upper four bits) of what is in service and of the task priority.  Whose work that is, is a
property of the host:

    virtualized  the processor's: it delivers what software requests, and ends it, without an exit
                 (SDM vol. 3C, "Virtual-Interrupt Delivery", "EOI Virtualization", "Posted-Interrupt Processing")
    emulated     the hypervisor's: a vCPU that runs is stopped for each interrupt, and the guest's end of
                 interrupt is an exit, unless it can be left out (`EoiAssist`, AutoEOI)

Source: Intel SDM vol. 3A, "Interrupt, Task, and Processor Priority" and "Interrupt
Acceptance for Fixed Interrupts".
"""

APICS = VIRTUALIZED, EMULATED = "virtualized", "emulated"
X2APIC_EOI = 0x80B   # the MSR: SDM vol. 3A, "x2APIC Register Address Space"


class LocalApic:
    """`request(vector)` from outside, `acknowledge()` at injection, `eoi()` by the guest; `changed()` tells the vCPU.

    `by_host`: a device has interrupted the host since the last injection, on the core of this vCPU.
    `assist` is the guest's `EoiAssist`, if the hypervisor emulates this APIC and the guest has one.
    """

    def __init__(self, changed):
        self.irr = self.isr = 0   # bit n is vector n
        self.tpr = 0              # task priority, 0 to 255
        self.by_host = False
        self.assist = None
        self._changed = changed

    def request(self, vector, by_host=False):
        """An edge: the vector is pending until the vCPU takes it; a second one meanwhile merges with it.

        `by_host`: it is the host's handler of a device's interrupt that asks for it.
        """
        if not 16 <= vector <= 255:
            raise ValueError(f"interrupt vector {vector}: 16 to 255")
        self._settle()
        self.irr |= 1 << vector
        self.by_host |= by_host
        if self.assist is not None:
            self.assist.withdraw()     # the end of what is in service must be told: something waits for it
        self._changed()

    @property
    def ready(self):
        """A pending vector is above what is in service, and above the task priority."""
        return self.irr.bit_length() - 1 >> 4 > max(self.isr.bit_length() - 1 >> 4, self.tpr >> 4 if self.tpr else -1)

    def acknowledge(self, auto_eoi=False):
        """Take the highest pending vector into service (`auto_eoi`: it leaves at once)."""
        self._settle()
        vector = self.irr.bit_length() - 1
        self.irr &= ~(1 << vector)
        self.by_host = False
        if not auto_eoi:
            self.isr |= 1 << vector
            if self.assist is not None and not self.irr and self.isr == 1 << vector:
                self.assist.offer()
        self._changed()
        return vector

    def eoi(self):
        """The highest vector in service is done.  Returns it, or None if none was."""
        self._settle()
        if not self.isr:
            return None
        if self.assist is not None:
            self.assist.withdraw()
        return self._end()

    def use(self, assist):
        """Take `assist` (None: none) in place of the one so far; what that has offered and the guest not taken is withdrawn."""
        self._settle()
        if self.assist is not None:
            self.assist.withdraw()
        self.assist = assist

    def set_tpr(self, value):
        """The task priority: no vector of its class or below is delivered."""
        self.tpr = value
        self._changed()

    def _settle(self):
        """Catch up with an end of interrupt that the guest has noted in its assist page, in place of an exit."""
        if self.assist is not None and self.assist.taken():
            self._end()

    def _end(self):
        vector = self.isr.bit_length() - 1
        self.isr &= ~(1 << vector)
        self._changed()
        return vector


class EoiAssist:
    """ "No EOI required": bit 0 of a vCPU's assist page, at `spa` of the host's memory (`memory` bytes).

    The hypervisor sets it with an interrupt that nothing else waits behind; a guest that
    finds it set clears it, and that is its end of interrupt.  Source: TLFS, "EOI Assist".
    """

    def __init__(self, memory, spa):
        self._memory, self._spa = memory, spa
        self._offered = False

    def offer(self):
        """Tell the guest that it needs no end of interrupt."""
        self._memory[self._spa] |= 1
        self._offered = True

    def taken(self):
        """Return, once for each offer, whether the guest has made use of it."""
        if not self._offered or self._memory[self._spa] & 1:
            return False
        self._offered = False
        return True

    def withdraw(self):
        """Ask for the end of interrupt after all."""
        self._memory[self._spa] &= ~1
        self._offered = False
