"""From a device's message to a vCPU's vector: injected by the host, or posted by the hardware.

    router = InterruptRouter(host, iommu)
    address, data = router.create(requester, cpu, vector, posted=False)   for the device's MSI-X table

Injected: the remapping table turns the message into a vector of the host, whose
handler requests the guest's vector; a vCPU that runs is stopped for it (an exit).
Posted: the table names the vCPU's posted-interrupt descriptor; the processor takes the
vector from there while the guest runs, which takes a host that virtualizes the APIC.
What the end of the interrupt costs depends on the APIC (`Host.apic`), not on this.
Source: Intel VT-d specification 5.1 "Interrupt Remapping", 5.2 "Interrupt Posting".
"""

from itertools import islice

from vmio.machine.memory import PAGE
from vmio.passthrough.iommu import interrupts
from vmio.passthrough.iommu.posted import DESCRIPTOR_BYTES, PostedDescriptor

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
        self._blocks = {}             # first table index -> how many messages were created together
        self._messages = {}           # table index -> (address, data)
        self._guests = {}             # table index -> the `Guest` that has it
        self._places = {}             # table index -> (APIC id, vector) of the host
        self._handlers = {}           # (APIC id, vector) -> function()
        self._descriptors = {}        # SPA -> PostedDescriptor, in `_page`
        self.spurious = 0             # messages that nobody waits for
        remapper = iommu.interrupts
        remapper.deliver, remapper.post = self._deliver, self._post
        remapper.set_table(self.table, ENTRIES)
        remapper.enabled = True

    def create(self, requester, cpu, vector, posted=False, count=1):
        """Let `requester` raise `vector` (16 to 255) on a guest's `cpu`; the (address, data) of its message.

        With `count` there are so many vectors in a row, and as many messages: with `data`,
        `data` + 1, ... (multiple message MSI, PCI 3.0, 6.8.1).  ValueError for a vector that
        can't be, at the guest's quota, and when the table is full; then nothing has changed.
        """
        if count < 1 or not 16 <= vector <= 256 - count:
            raise ValueError(f"interrupt vector {vector}, {count} in a row: 16 to 255")
        guest = cpu.guest
        if list(self._guests.values()).count(guest) > self.quota - count:
            raise ValueError(f"interrupts: guest {guest.name} has {self.quota} entries of the remapping table already")
        first = self._room(count)
        if posted:
            spa = self.descriptor(cpu).spa
            for n in range(count):
                self._install(first + n, requester, interrupts.posted_entry(requester, spa, vector + n), guest)
        else:
            for n, place in enumerate(self._free_places(count)):
                self._install(first + n, requester, interrupts.remapped_entry(requester, *place), guest)
                self._places[first + n] = place
                self._handlers[place] = _request(cpu, vector + n)
        return self._grant(first, count)

    def create_for(self, requester, call):
        """Let `requester` make the host call `call()`; the (address, data) of its message."""
        place, = self._free_places(1)
        first = self._room(1)
        self._install(first, requester, interrupts.remapped_entry(requester, *place), None)
        self._places[first] = place
        self._handlers[place] = call
        return self._grant(first, 1)

    def retarget(self, requester, address, data, cpu, vector):
        """Let the interrupt with this message go to another vCPU or vector; the device notices nothing.

        False if `requester` has none with this message.  ValueError for a vector that can't be.
        """
        index = _index(address) + data
        if self.owners.get(index) != requester or self._messages[index] != (address, data):
            return False
        if not 16 <= vector <= 255:
            raise ValueError(f"interrupt vector {vector}: 16 to 255")
        place = self._places.get(index)
        if place is None:
            self._write(index, interrupts.posted_entry(requester, self.descriptor(cpu).spa, vector))
        else:
            self._handlers[place] = _request(cpu, vector)
        return True

    def delete(self, requester, address, data):
        """Take an interrupt back, with all that were created with it; False if `requester` has none with this message."""
        first = _index(address)
        if self.owners.get(first) != requester or self._messages[first] != (address, data):
            return False
        for index in range(first, first + self._blocks[first]):
            self._remove(index)
        return True

    def delete_all(self, requester):
        """Take back every interrupt of a requester."""
        for index in [index for index, owner in self.owners.items() if owner == requester]:
            self._remove(index)

    def descriptor(self, cpu):
        """The `PostedDescriptor` of a vCPU.  There is room for 64; ValueError on a host that emulates the APIC."""
        if not cpu.virtual_apic:
            raise ValueError(f"interrupts: posted to {cpu.guest.name}; the host's APIC is {cpu.guest.host.apic}: "
                             f"only a virtualized one takes them")
        found = next((each for each in self._descriptors.values() if each.cpu is cpu), None)
        if found is None:
            spa = next((at for at in range(self._page, self._page + PAGE, DESCRIPTOR_BYTES)
                        if at not in self._descriptors), None)
            if spa is None:
                raise ValueError("interrupts: every posted-interrupt descriptor is in use")
            found = self._descriptors[spa] = PostedDescriptor(self.memory, spa, cpu)
        return found

    def forget_cpu(self, cpu):
        """Nothing is posted to this vCPU any more."""
        for spa in [spa for spa, each in self._descriptors.items() if each.cpu is cpu]:
            del self._descriptors[spa]

    def _room(self, count):
        """The first of `count` free entries of the table in a row."""
        owners = self.owners
        first = next((n for n in range(ENTRIES - count + 1) if not any(n + k in owners for k in range(count))), None)
        if first is None:
            raise ValueError(f"interrupts: all {ENTRIES} entries of the remapping table are in use" if count == 1 else
                             f"interrupts: no {count} entries in a row are free in the remapping table")
        return first

    def _free_places(self, count):
        """So many vectors of the host that nobody has."""
        places = list(islice((place for place in PLACES if place not in self._handlers), count))
        if len(places) < count:
            raise ValueError("interrupts: every vector of the host is taken")
        return places

    def _install(self, index, requester, entry, guest):
        self._write(index, entry)
        self.owners[index] = requester
        if guest is not None:
            self._guests[index] = guest

    def _grant(self, first, count):
        """The entries belong together from now on; the message of the first."""
        message = address, data = interrupts.message(first)
        self._blocks[first] = count
        self._messages.update({first + n: (address, data + n) for n in range(count)})
        return message

    def _remove(self, index):
        del self.owners[index], self._messages[index]
        self._blocks.pop(index, None)
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


def _request(cpu, vector):
    return lambda: cpu.apic.request(vector, by_host=True)


def _index(address):
    """The table index in a message's address (5.1.2.2)."""
    return address >> 5 & 0x7FFF | (address & 4) << 13
