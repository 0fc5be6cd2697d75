"""From a device's message to a vCPU's vector: injected by the host, or posted by the hardware.

    router = InterruptRouter(host, iommu)
    address, data = router.create(requester, cpu, vector, posted=False)   for the device's MSI-X table

Injected: the remapping table turns the message into a vector of the host, whose
handler requests the guest's vector; a vCPU that runs is stopped for it (an exit), and
so is its end of interrupt.  Posted: the table names the vCPU's posted-interrupt
descriptor; the processor takes the vector from there while the guest runs.
Source: Intel VT-d specification 5.1 "Interrupt Remapping", 5.2 "Interrupt Posting".
"""

from vmio.machine.memory import PAGE
from vmio.passthrough import interrupts
from vmio.passthrough.posted import DESCRIPTOR_BYTES, PostedDescriptor

ENTRIES = PAGE // interrupts.ENTRY_BYTES
VECTORS = range(0x30, 256)           # of the host, for devices: below are its exceptions and its own
QUOTA = 80                           # entries a guest: all 65 of one function, not the table
PLACES = [(at, vector) for at in range(256) for vector in VECTORS]   # (APIC id, vector)


class InterruptRouter:
    """The host's use of `iommu`'s interrupt remapping: one table of `ENTRIES`, filled on demand.

    Remapping is on even where DMA is not: the two have switches of their own
    (GCMD.IRE and GCMD.TE).  `owners` is {table index: requester}.  A guest gets
    `quota` entries and no more, or one with many functions would leave none for the others.
    """

    def __init__(self, host, iommu, quota=QUOTA):
        self.memory = host.memory
        self.table, self._page = host.memory.allocate(1), host.memory.allocate(1)
        self.owners, self.quota = {}, quota
        self._guests = {}             # table index -> the `Guest` that has it
        self._places = {}             # table index -> (APIC id, vector) of the host
        self._handlers = {}           # (APIC id, vector) -> function()
        self._descriptors = {}        # SPA -> PostedDescriptor, in `_page`
        self.spurious = 0             # messages that nobody waits for
        remapper = iommu.interrupts
        remapper.deliver, remapper.post = self._deliver, self._post
        remapper.set_table(self.table, ENTRIES)
        remapper.enabled = True

    def create(self, requester, cpu, vector, posted=False):
        """Let `requester` raise `vector` (16 to 255) on a guest's `cpu`; the (address, data) of its message.

        ValueError for a vector that can't be, at the guest's quota, and when the table is full.
        """
        if not 16 <= vector <= 255:
            raise ValueError(f"interrupt vector {vector}: 16 to 255")
        guest = cpu.guest
        if list(self._guests.values()).count(guest) >= self.quota:
            raise ValueError(f"interrupts: guest {guest.name} has {self.quota} entries of the remapping table already")
        if posted:
            message = self._install(requester, interrupts.posted_entry(requester, self.descriptor(cpu).spa, vector))
        else:
            message = self.create_for(requester, lambda: cpu.apic.request(vector))
        self._guests[_index(message[0])] = guest
        return message

    def create_for(self, requester, call):
        """Let `requester` make the host call `call()`; the (address, data) of its message."""
        place = next((place for place in PLACES if place not in self._handlers), None)
        if place is None:
            raise ValueError("interrupts: every vector of the host is taken")
        message = self._install(requester, interrupts.remapped_entry(requester, *place))
        self._places[_index(message[0])] = place
        self._handlers[place] = call
        return message

    def retarget(self, requester, address, data, cpu, vector):
        """Let the interrupt with this message go to another vCPU or vector; the device notices nothing.

        False if `requester` has none with this message.  ValueError for a vector that can't be.
        """
        index = _index(address)
        if self.owners.get(index) != requester or interrupts.message(index) != (address, data):
            return False
        if not 16 <= vector <= 255:
            raise ValueError(f"interrupt vector {vector}: 16 to 255")
        place = self._places.get(index)
        if place is None:
            self._write(index, interrupts.posted_entry(requester, self.descriptor(cpu).spa, vector))
        else:
            self._handlers[place] = lambda: cpu.apic.request(vector)
        return True

    def delete(self, requester, address, data):
        """Take an interrupt back; False if `requester` has none with this message."""
        index = _index(address)
        if self.owners.get(index) != requester or interrupts.message(index) != (address, data):
            return False
        self._remove(index)
        return True

    def delete_all(self, requester):
        """Take back every interrupt of a requester."""
        for index in [index for index, owner in self.owners.items() if owner == requester]:
            self._remove(index)

    def descriptor(self, cpu):
        """The `PostedDescriptor` of a vCPU; from the first call on its interrupts don't exit.  There is room for 64."""
        found = next((each for each in self._descriptors.values() if each.cpu is cpu), None)
        if found is None:
            spa = next((at for at in range(self._page, self._page + PAGE, DESCRIPTOR_BYTES)
                        if at not in self._descriptors), None)
            if spa is None:
                raise ValueError("interrupts: every posted-interrupt descriptor is in use")
            found = self._descriptors[spa] = PostedDescriptor(self.memory, spa, cpu)
            cpu.posted = True
        return found

    def forget_cpu(self, cpu):
        """Nothing is posted to this vCPU any more: its interrupts exit again."""
        for spa in [spa for spa, each in self._descriptors.items() if each.cpu is cpu]:
            del self._descriptors[spa]
            cpu.posted = False

    def _install(self, requester, entry):
        index = next((n for n in range(ENTRIES) if n not in self.owners), None)
        if index is None:
            raise ValueError(f"interrupts: all {ENTRIES} entries of the remapping table are in use")
        self._write(index, entry)
        self.owners[index] = requester
        return interrupts.message(index)

    def _remove(self, index):
        del self.owners[index]
        self._guests.pop(index, None)
        self._handlers.pop(self._places.pop(index, None), None)
        self._write(index, bytes(interrupts.ENTRY_BYTES))

    def _write(self, index, entry):
        self.memory.write(self.table + index * interrupts.ENTRY_BYTES, entry)

    def _deliver(self, destination, vector):
        """The host's own interrupt: whoever waits for it is called."""
        call = self._handlers.get((destination, vector))
        if call is None:
            self.spurious += 1
        else:
            call()

    def _post(self, spa, vector, urgent):
        descriptor = self._descriptors.get(spa)
        if descriptor is None:
            self.spurious += 1
        else:
            descriptor.post(vector, urgent)


def _index(address):
    """The table index in a message's address (5.1.2.2)."""
    return address >> 5 & 0x7FFF | (address & 4) << 13
