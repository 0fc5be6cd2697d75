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

import mmap
from collections.abc import Callable

from vmio.machine.checkpoint import Form, State

APIC = Form("local APIC", 1, "irr", "isr", "tpr", "by_host", "offered")
APICS = VIRTUALIZED, EMULATED = "virtualized", "emulated"
X2APIC_EOI = 0x80B   # the MSR: SDM vol. 3A, "x2APIC Register Address Space"
TSC_DEADLINE = 0x6E0  # the MSR: SDM vol. 3A, "TSC-Deadline Mode"
APIC_HZ = 1_000_000_000   # what its timer counts by, as KVM's


class LocalApic:
    """`request(vector)` from outside, `acknowledge()` at injection, `eoi()` by the guest; `changed()` tells the vCPU.

    `by_host`: a device has interrupted the host since the last injection, on the core of this vCPU.
    `assist` is the guest's `EoiAssist`, if the hypervisor emulates this APIC and the guest has one.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.irr = self.isr = 0   # bit n is vector n
        self.tpr = 0              # task priority, 0 to 255
        self.by_host = False
        self.assist: EoiAssist | None = None
        self.taken: Callable[[int], None] | None = None         # function(vector), at each injection, of who waits for one
        self._changed = changed

    def request(self, vector: int, by_host: bool = False) -> None:
        """Take an edge: the vector is pending until the vCPU takes it; a second one meanwhile merges with it.

        `by_host`: it is the host's handler of a device's interrupt that asks for it.
        """
        if not 16 <= vector <= 255:
            raise ValueError(f"interrupt vector {vector}: 16 to 255")
        if self.assist is not None:
            self._settle()
        self.irr |= 1 << vector
        self.by_host |= by_host
        if self.assist is not None:
            self.assist.withdraw()     # the end of what is in service must be told: something waits for it
        self._changed()

    @property
    def ready(self) -> bool:
        """A pending vector is above what is in service, and above the task priority."""
        return self.irr != 0 and self.irr.bit_length() - 1 >> 4 > max(self.isr.bit_length() - 1 >> 4, self.tpr >> 4 if self.tpr else -1)

    def acknowledge(self, auto_eoi: bool = False) -> int:
        """Take the highest pending vector into service (`auto_eoi`: it leaves at once)."""
        if self.assist is not None:
            self._settle()
        vector = self.irr.bit_length() - 1
        self.irr &= ~(1 << vector)
        self.by_host = False
        if not auto_eoi:
            self.isr |= 1 << vector
            if self.assist is not None and not self.irr and self.isr == 1 << vector:
                self.assist.offer()
        if self.taken is not None:
            self.taken(vector)
        self._changed()
        return vector

    def eoi(self) -> int | None:
        """End the highest vector in service.  Returns it, or None if none was."""
        if self.assist is not None:
            self._settle()
        if not self.isr:
            return None
        if self.assist is not None:
            self.assist.withdraw()
        return self._end()

    def use(self, assist: "EoiAssist | None") -> None:
        """Take `assist` (None: none) in place of the one so far; what that has offered and the guest not taken is withdrawn."""
        self._settle()
        if self.assist is not None:
            self.assist.withdraw()
        self.assist = assist

    def set_tpr(self, value: int) -> None:
        """Set the task priority: no vector of its class or below is delivered."""
        self.tpr = value
        self._changed()

    def save(self) -> State:
        """Return the vectors and the priority; the assist page is memory, and its owner's."""
        return APIC.state(irr=self.irr, isr=self.isr, tpr=self.tpr, by_host=self.by_host,
                          offered=self.assist is not None and self.assist.offered)

    def restore(self, state: State) -> None:
        """Take back what `save` gave; nobody is told."""
        saved = APIC.take(state)
        self.irr, self.isr, self.tpr, self.by_host = saved["irr"], saved["isr"], saved["tpr"], saved["by_host"]
        if self.assist is not None:
            self.assist.offered = saved["offered"]

    def _settle(self) -> None:
        """Catch up with an end of interrupt that the guest has noted in its assist page, in place of an exit."""
        if self.assist is not None and self.assist.taken():
            self._end()

    def _end(self) -> int:
        vector = self.isr.bit_length() - 1
        self.isr &= ~(1 << vector)
        self._changed()
        return vector


class EoiAssist:
    """ "No EOI required": bit 0 of a vCPU's assist page, at `spa` of the host's memory (`memory` bytes).

    The hypervisor sets it with an interrupt that nothing else waits behind; a guest that
    finds it set clears it, and that is its end of interrupt.  Source: TLFS, "EOI Assist".
    """

    def __init__(self, memory: mmap.mmap, spa: int) -> None:
        self._memory, self._spa = memory, spa
        self.offered = False

    def offer(self) -> None:
        """Tell the guest that it needs no end of interrupt."""
        self._memory[self._spa] |= 1
        self.offered = True

    def taken(self) -> bool:
        """Return, once for each offer, whether the guest has made use of it."""
        if not self.offered or self._memory[self._spa] & 1:
            return False
        self.offered = False
        return True

    def withdraw(self) -> None:
        """Ask for the end of interrupt after all."""
        self._memory[self._spa] &= ~1
        self.offered = False
