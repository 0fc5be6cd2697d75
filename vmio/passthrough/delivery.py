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

from collections.abc import Callable
from itertools import islice

from vmio.hypervisor.contracts import Partition, Root
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE
from vmio.passthrough.iommu import interrupts
from vmio.passthrough.iommu.iommu import Iommu
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

    def __init__(self, host: Root, iommu: Iommu, quota: int = QUOTA) -> None:
        self.memory = host.memory
        self.table, self._page = host.memory.allocate(1), host.memory.allocate(1)
        self.owners: dict[int, int] = {}     # table index -> requester
        self.quota = quota
        self._blocks: dict[int, int] = {}   # first table index -> how many messages were created together
        self._messages: dict[int, tuple[int, int]] = {}   # table index -> (address, data)
        self._guests: dict[int, Partition] = {}   # table index -> the `Guest` that has it
        self._places: dict[int, tuple[int, int]] = {}   # table index -> (APIC id, vector) of the host
        self._handlers: dict[tuple[int, int], Callable[..., None]] = {}   # (APIC id, vector) -> function()
        self._descriptors: dict[int, PostedDescriptor] = {}   # SPA -> PostedDescriptor, in `_page`
        self.spurious = 0             # messages that nobody waits for
        remapper = iommu.interrupts
        remapper.deliver, remapper.post = self._deliver, self._post
        remapper.set_table(self.table, ENTRIES)
        remapper.enabled = True

    def remove(self) -> None:
        """Nobody interrupts by it any more: the host has its memory back."""
        for spa in (self.table, self._page):
            self.memory.free(spa, 1)

    def create(self, requester: int, cpu: VCpu, vector: int, posted: bool = False, count: int = 1) -> tuple[int, int]:
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
                self._handlers[place] = Request(cpu, vector + n)
        return self._grant(first, count)

    def create_for(self, requester: int, call: Callable[..., None]) -> tuple[int, int]:
        """Let `requester` make the host call `call()`; the (address, data) of its message."""
        place, = self._free_places(1)
        first = self._room(1)
        self._install(first, requester, interrupts.remapped_entry(requester, *place), None)
        self._places[first] = place
        self._handlers[place] = call
        return self._grant(first, 1)

    def retarget(self, requester: int, address: int, data: int, cpu: VCpu, vector: int) -> bool:
        """Let the interrupt with this message go to another vCPU or vector; the device notices nothing.

        False if `requester` has none with this message.  ValueError for a vector that can't be.
        """
        index = interrupts.table_index(address) + data
        if self.owners.get(index) != requester or self._messages[index] != (address, data):
            return False
        if not 16 <= vector <= 255:
            raise ValueError(f"interrupt vector {vector}: 16 to 255")
        place = self._places.get(index)
        if place is None:
            self._write(index, interrupts.posted_entry(requester, self.descriptor(cpu).spa, vector))
        else:
            self._handlers[place] = Request(cpu, vector)
        return True

    def delete(self, requester: int, address: int, data: int) -> bool:
        """Take an interrupt back, with all that were created with it; False if `requester` has none with this message."""
        first = interrupts.table_index(address)
        if self.owners.get(first) != requester or self._messages[first] != (address, data):
            return False
        for index in range(first, first + self._blocks[first]):
            self._remove(index)
        return True

    def delete_all(self, requester: int) -> None:
        """Take back every interrupt of a requester."""
        for index in [index for index, owner in self.owners.items() if owner == requester]:
            self._remove(index)

    def descriptor(self, cpu: VCpu) -> PostedDescriptor:
        """Return the `PostedDescriptor` of a vCPU.  There is room for 64; ValueError on a host that emulates the APIC."""
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

    def forget_cpu(self, cpu: VCpu) -> None:
        """Nothing is posted to this vCPU any more."""
        for spa in [spa for spa, each in self._descriptors.items() if each.cpu is cpu]:
            del self._descriptors[spa]

    def _room(self, count: int) -> int:
        """The first of `count` free entries of the table in a row."""
        owners = self.owners
        first = next((n for n in range(ENTRIES - count + 1) if not any(n + k in owners for k in range(count))), None)
        if first is None:
            raise ValueError(f"interrupts: all {ENTRIES} entries of the remapping table are in use" if count == 1 else
                             f"interrupts: no {count} entries in a row are free in the remapping table")
        return first

    def _free_places(self, count: int) -> list[tuple[int, int]]:
        """So many vectors of the host that nobody has."""
        places = list(islice((place for place in PLACES if place not in self._handlers), count))
        if len(places) < count:
            raise ValueError("interrupts: every vector of the host is taken")
        return places

    def _install(self, index: int, requester: int, entry: bytes, guest: Partition | None) -> None:
        self._write(index, entry)
        self.owners[index] = requester
        if guest is not None:
            self._guests[index] = guest

    def _grant(self, first: int, count: int) -> tuple[int, int]:
        """The entries belong together from now on; the message of the first."""
        message = address, data = interrupts.message(first)
        self._blocks[first] = count
        self._messages.update({first + n: (address, data + n) for n in range(count)})
        return message

    def _remove(self, index: int) -> None:
        del self.owners[index], self._messages[index]
        self._blocks.pop(index, None)
        self._guests.pop(index, None)
        place = self._places.pop(index, None)
        if place is not None:
            self._handlers.pop(place, None)
        self._write(index, bytes(interrupts.ENTRY_BYTES))

    def _write(self, index: int, entry: bytes) -> None:
        self.memory.write(self.table + index * interrupts.ENTRY_BYTES, entry)

    def _deliver(self, destination: int, vector: int) -> None:
        """The host's own interrupt: whoever waits for it is called."""
        call = self._handlers.get((destination, vector))
        if call is None:
            self.spurious += 1
        else:
            call()

    def _post(self, spa: int, vector: int, urgent: bool) -> None:
        descriptor = self._descriptors.get(spa)
        if descriptor is None:
            self.spurious += 1
        else:
            descriptor.post(vector, urgent)


class Request:
    """The handler of a host's vector that asks for a guest's: `vector` on `cpu`."""

    __slots__ = ("cpu", "vector")

    def __init__(self, cpu: VCpu, vector: int) -> None:
        self.cpu, self.vector = cpu, vector

    def __call__(self) -> None:
        self.cpu.apic.request(self.vector, by_host=True)
