"""Virtual persistent memory: a file of the host's in the address space of many guests, each page of it in the host's memory once.

    frames = Frames(host.memory, "base", pages, read)      # the host's copy of the file, page by page, as somebody asks
    Pmem(guest, frames)                                    # guest-physical [base, end) of this guest

Hyper-V calls it VPMem; Linux guests mount it with DAX, which is short for direct access: their file system hands programs the
memory itself, and keeps no copy.  The first touch of a page is an EPT violation: the hypervisor maps the host's frame, for reading
and executing, and from then on neither reads nor instruction fetches exit.  A store is an EPT violation each time, and nobody
carries it out: the guest gets a fault (#GP), and its neighbours never hear of it.

What is left out: the ACPI table (NFIT) by which a guest finds such memory, large pages, and that a host reads ahead.
Source: microsoft/hcsshim, internal/uvm/constants.go and vpmem.go: up to 128 devices of up to 4 GiB each.
"""

from collections.abc import Callable

from vmio.hypervisor.contracts import GuestCpu, Partition
from vmio.hypervisor.exits import ExitReason
from vmio.hypervisor.faults import GuestFault
from vmio.machine.memory import PAGE, HostMemory, OutOfMemory
from vmio.machine.pagetable import EXECUTE, READ, WRITE, TranslationFault

BASE = 1 << 33             # guest-physical: where the first device's memory begins, behind all that a PC has
DEVICE_BYTES = 4 << 30     # and how much room each has
MAX_DEVICES = 128
READ_ONLY = READ | EXECUTE
NAME = "VPMem"             # what its exits are counted as


class Frames:
    """A file of `pages` pages in `memory` (the host's).  `read(page)` returns the 4,096 bytes of one.

    A page gets its frame when the first guest touches it.  `reads` counts how often the file itself was read.
    """

    def __init__(self, memory: HostMemory, name: str, pages: int, read: Callable[[int], bytes]) -> None:
        if not 1 <= pages <= DEVICE_BYTES // PAGE:
            raise ValueError(f"layer {name}: {pages:,} pages; 1 to {DEVICE_BYTES // PAGE:,} fit into one device of virtual persistent memory")
        self.memory, self.name, self.pages, self._read = memory, name, pages, read
        self.spas: dict[int, int] = {}          # page -> its frame
        self.sharers = 0                        # guests that have it now
        self.reads = 0

    def frame(self, page: int) -> tuple[int, bool]:
        """Return the SPA of a page's frame, and whether it had to be read from the file; `OutOfMemory` if the host has no frame left."""
        if page in self.spas:
            return self.spas[page], False
        spa = self.memory.allocate(1)
        self.memory.write(spa, self._read(page))
        self.spas[page] = spa
        self.reads += 1
        return spa, True

    def free(self) -> None:
        """Give the frames back to the host, scrubbed; RuntimeError while a guest still has them in its table."""
        if self.sharers:
            raise RuntimeError(f"layer {self.name}: {self.sharers} guests still have its frames mapped")
        for spa in self.spas.values():
            self.memory.free(spa, 1)
        self.spas.clear()


class Pmem:
    """`frames` in the address space of `guest`, as its next device; `refused` counts its stores.

    `permissions` other than READ_ONLY are for who wants to see what a writable mapping would do.
    While it has one a guest can't be moved, and no memory can be taken from it: its frames are the host's.  A whole machine can be saved.
    """

    def __init__(self, guest: Partition, frames: Frames, permissions: int = READ_ONLY) -> None:
        number = len(guest.pmem)
        if number >= MAX_DEVICES:
            raise ValueError(f"guest {guest.name}: layer {frames.name} is one more than {MAX_DEVICES} devices of virtual persistent memory")
        self.guest, self.frames, self.permissions = guest, frames, permissions
        self.base = BASE + number * DEVICE_BYTES
        self.end = self.base + frames.pages * PAGE
        self.touches = self.refused = 0
        guest.pmem.append(self)
        guest.pins[f"layer {frames.name}"] = "its frames are the host's, and shared with other guests"
        guest.releases.append(self._release)
        frames.sharers += 1

    def _release(self) -> None:
        self.frames.sharers -= 1
        self.guest.pmem.remove(self)

    def touch(self, cpu: GuestCpu, gpa: int) -> None:
        """Map the page of `gpa` if it is not: an exit, and the time of a read of the host's disk if no guest had it before.

        `GuestFault` if the host has no memory for it.
        """
        at = gpa & -PAGE
        try:
            self.guest.slat.translate(at, READ)
            return
        except TranslationFault:
            pass
        row = cpu.table.priced(ExitReason.EPT_VIOLATION, NAME, cpu.costs.first_touch_ns)
        try:
            spa, was_read = self.frames.frame((at - self.base) // PAGE)
            self.guest.slat.map(at, spa, PAGE, self.permissions)
        except OutOfMemory as error:
            raise GuestFault(f"{self.guest.name}: EPT violation at {gpa:#x}: layer {self.frames.name}: {error}") from None
        self.touches += 1
        cpu.table.record(row, 0, address=at)
        cpu.charge(row, cpu.costs.disk_read_ns if was_read else 0)

    def refuse(self, cpu: GuestCpu, gpa: int, size: int) -> None:
        """Count a store that is not permitted, and let the guest have its fault: a `GuestFault`, which its kernel may handle."""
        row = cpu.table.priced(ExitReason.EPT_VIOLATION, NAME, cpu.costs.hypercall_ns, True)
        self.refused += 1
        cpu.table.record(row, 0, address=gpa)
        cpu.charge(row)
        raise GuestFault(f"{self.guest.name}: #GP, write of {size} bytes at {gpa:#x}: layer {self.frames.name} is mapped read-only")


def reach(cpu: GuestCpu, gpa: int, size: int, access: int) -> bool:
    """Bring [gpa, gpa+size) into the guest's table if all of it is one device's; False if it is not, and then nothing has happened.

    `GuestFault` for a store where stores are not permitted.
    """
    found = next((one for one in cpu.guest.pmem if one.base <= gpa and gpa + size <= one.end), None)
    if found is None:
        return False
    if access & WRITE and not found.permissions & WRITE:
        found.refuse(cpu, gpa, size)
    for at in range(gpa & -PAGE, gpa + size, PAGE):
        found.touch(cpu, at)
    return True
