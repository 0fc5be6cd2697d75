"""From a device's message to a vCPU's vector: injected by the host, or posted by the hardware.

    router = InterruptRouter(host, iommu)
    address, data = router.create(requester, cpu, vector, posted=False)   for the device's MSI-X table

Injected: the remapping table turns the message into a vector of the host, whose
handler requests the guest's vector; a vCPU that runs is stopped for it (an exit).
Posted: the table names the vCPU's posted-interrupt descriptor in host memory; the
hardware sets a bit there, and the processor delivers it to a running guest.
Source: Intel VT-d specification 5.1, 5.2 "Interrupt Posting", 9.12 "Posted Interrupt
Descriptor"; SDM vol. 3C, "Posted-Interrupt Processing".
"""

from vmio.machine.memory import PAGE
from vmio.passthrough import interrupts

ENTRIES = PAGE // interrupts.ENTRY_BYTES
FIRST_VECTOR = 0x30                       # of the host's vectors; below are its exceptions and its own devices
VECTORS = range(FIRST_VECTOR, 256)
DESCRIPTOR_BYTES = 64
OUTSTANDING = 32                          # byte of a descriptor whose bit 0 is ON; before it, 256 request bits (PIR)


class InterruptRouter:
    """The host's use of `iommu`'s interrupt remapping: one table of `ENTRIES`, filled on demand."""

    def __init__(self, host, iommu):
        self.host, self.memory = host, host.memory
        self.table = host.memory.allocate(1)
        self._descriptors = host.memory.allocate(1)
        self._descriptor_of = {}          # vCPU -> SPA
        self._vcpu_at = {}                # SPA -> vCPU
        self._targets = {}                # (destination, host vector) -> function()
        self.owners = {}                  # table index -> (requester, its (destination, vector) or None)
        self.spurious = 0                 # messages that nobody waits for
        remapper = iommu.interrupts
        remapper.deliver, remapper.post = self._deliver, self._post
        remapper.set_table(self.table, ENTRIES)
        remapper.enabled = True

    def create(self, requester, cpu, vector, posted=False):
        """Let `requester` raise `vector` (16 to 255) on a guest's `cpu`; the (address, data) of its message.

        ValueError for a vector that can't be, and when the table is full.
        """
        if not 16 <= vector <= 255:
            raise ValueError(f"interrupt vector {vector}: 16 to 255")
        if posted:
            entry = interrupts.posted_entry(requester, self._descriptor(cpu), vector)
            return self._install(requester, entry, None)
        return self.create_for(requester, lambda: cpu.apic.request(vector))

    def create_for(self, requester, call):
        """Let `requester` make the host call `call()`."""
        place = next(((destination, vector) for destination in range(256) for vector in VECTORS
                      if (destination, vector) not in self._targets), None)
        if place is None:
            raise ValueError("interrupts: every vector of the host is taken")
        message = self._install(requester, interrupts.remapped_entry(requester, *place), place)
        self._targets[place] = call
        return message

    def delete(self, requester, address, data):
        """Take an interrupt back; False if `requester` has none with this message."""
        index = address >> 5 & 0x7FFF
        if index not in self.owners or self.owners[index][0] != requester or interrupts.message(index) != (address, data):
            return False
        self._remove(index)
        return True

    def delete_all(self, requester):
        """Take back every interrupt of a requester."""
        for index in [index for index, (owner, _) in self.owners.items() if owner == requester]:
            self._remove(index)

    def _install(self, requester, entry, place):
        index = next((n for n in range(ENTRIES) if n not in self.owners), None)
        if index is None:
            raise ValueError(f"interrupts: all {ENTRIES} entries of the remapping table are in use")
        self.memory.write(self.table + index * interrupts.ENTRY_BYTES, entry)
        self.owners[index] = requester, place
        return interrupts.message(index)

    def _remove(self, index):
        _, place = self.owners.pop(index)
        self._targets.pop(place, None)
        self.memory.write(self.table + index * interrupts.ENTRY_BYTES, bytes(interrupts.ENTRY_BYTES))

    def _descriptor(self, cpu):
        """The vCPU's descriptor; there is room for 64."""
        at = self._descriptor_of.get(cpu)
        if at is None:
            if len(self._descriptor_of) == PAGE // DESCRIPTOR_BYTES:
                raise ValueError("interrupts: every posted-interrupt descriptor is in use")
            at = self._descriptor_of[cpu] = self._descriptors + DESCRIPTOR_BYTES * len(self._descriptor_of)
            self._vcpu_at[at] = cpu
        return at

    def _deliver(self, destination, vector):
        call = self._targets.get((destination, vector))
        if call is None:
            self.spurious += 1
        else:
            call()

    def _post(self, descriptor, vector, urgent):
        """The hardware's part: set the request bit, and notify if no notification is outstanding."""
        cpu, memory = self._vcpu_at.get(descriptor), self.memory.bytes
        if cpu is None:
            self.spurious += 1
            return
        memory[descriptor + (vector >> 3)] |= 1 << (vector & 7)
        if not memory[descriptor + OUTSTANDING] & 1:
            memory[descriptor + OUTSTANDING] |= 1
            self._notified(cpu, descriptor)

    def _notified(self, cpu, descriptor):
        """The processor's part: clear ON, move the request bits into the virtual APIC."""
        memory = self.memory.bytes
        memory[descriptor + OUTSTANDING] &= ~1
        pending = int.from_bytes(memory[descriptor:descriptor + 32], "little")
        memory[descriptor:descriptor + 32] = bytes(32)
        while pending:
            vector = pending.bit_length() - 1
            pending &= ~(1 << vector)
            cpu.apic.request(vector)
