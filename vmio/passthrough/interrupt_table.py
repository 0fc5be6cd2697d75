"""The interrupt remapping table from the host's side: which device may raise what, where.

An entry belongs to one requester.  The device is told a handle (an index), not a
vector; the host may move the interrupt later without the device's knowledge.
Source: Intel VT-d specification 5.1.4 "Interrupt-Remapping Hardware Operation".
"""

from vmio.machine.memory import PAGE
from vmio.passthrough import interrupts
from vmio.passthrough.requester import text

ENTRIES = PAGE // interrupts.ENTRY_BYTES


class InterruptTable:
    """256 entries in host memory for `remapper` (an `InterruptRemapper`); `remapper` may be on or off."""

    def __init__(self, memory, remapper):
        self.memory, self.remapper = memory, remapper
        self.spa = memory.allocate(1)
        self.owners = {}           # index -> requester
        remapper.set_table(self.spa, ENTRIES)

    def remap(self, requester, destination, vector):
        """(address, data) for the requester's message, which becomes `vector` at host processor `destination`."""
        return self._take(requester, interrupts.remapped_entry(requester, destination, vector))

    def post(self, requester, descriptor, vector):
        """(address, data) for the requester's message, which becomes `vector` in a `PostedDescriptor`."""
        return self._take(requester, interrupts.posted_entry(requester, descriptor.spa, vector))

    def _take(self, requester, entry):
        index = next((n for n in range(ENTRIES) if n not in self.owners), None)
        if index is None:
            raise ValueError(f"interrupt table: all {ENTRIES} entries are in use; {text(requester)} gets none")
        self.owners[index] = requester
        self.memory.write(self.spa + interrupts.ENTRY_BYTES * index, entry)
        return interrupts.message(index)

    def release(self, requester):
        """Clear all entries of a requester (it was taken away); how many there were."""
        mine = [index for index, owner in self.owners.items() if owner == requester]
        for index in mine:
            del self.owners[index]
            self.memory.write(self.spa + interrupts.ENTRY_BYTES * index, bytes(interrupts.ENTRY_BYTES))
        return len(mine)


class HostVectors:
    """The host's own interrupt handlers, by (APIC id, vector): what a message reaches in the end.

    `on(destination, vector, handler)` installs one; an interrupt for none is counted in `spurious`.
    """

    def __init__(self):
        self.handlers, self.spurious = {}, 0

    def on(self, destination, vector, handler):
        """Call `handler()` for this vector at this processor; None takes the handler away."""
        if handler is None:
            self.handlers.pop((destination, vector), None)
        else:
            self.handlers[destination, vector] = handler

    def __call__(self, destination, vector):
        handler = self.handlers.get((destination, vector))
        if handler is None:
            self.spurious += 1
        else:
            handler()
