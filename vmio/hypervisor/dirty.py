"""The dirty log: which pages of a guest's RAM were written since somebody last asked, whoever wrote them.

Live migration copies a guest's memory while the guest goes on, so what was copied and is written again must be known.
There are three ways into a page, and each has a point where it is told:

    processor   a vCPU's stores, and host software that goes by the guest's own addresses, as VMBus rings do: `Guest.memory`
    device      an emulated device that is bus master: `Guest.dma`
    host        what comes by the host's own addresses: a VSP's copies, the physical disk's DMA into a guest's buffer, a
                device behind its IOMMU domain: `HostMemory.write`

A real hypervisor has the first from the SLAT: it write-protects the pages, or lets the processor log them (Intel SDM vol. 3C,
"Page-Modification Logging").  The other two never pass the SLAT, so whoever writes must mark (QEMU, `cpu_physical_memory_set_
dirty_range`; for DMA of assigned devices, VFIO's dirty tracking).  A log without them looks complete until memory is compared.

Nobody asks: each way tests one attribute.  The log is no part of a checkpoint, as whoever looks on.
"""

from collections.abc import Callable, Collection

from vmio.hypervisor.contracts import Partition
from vmio.machine.probes import watch

WAYS = PROCESSOR, DEVICE, HOST = "processor", "device", "host"


class DirtyLog:
    """The log of `guest`, from now until `stop`.  `by` has the numbers of the pages that each way has dirtied since `take`.

    `without` names ways that are left out, for those who want to see what is lost then; ValueError for what is none.
    A guest whose stores the machine does not execute itself (machine code on Unicorn or /dev/kvm) is not seen by it.
    """

    def __init__(self, guest: Partition, without: Collection[str] = ()) -> None:
        for way in without:
            if way not in WAYS:
                raise ValueError(f"dirty log without {way!r}: choose among {', '.join(WAYS)}")
        self.by: dict[str, set[int]] = {way: set() for way in WAYS}
        self._backing = guest.backing
        processor = _noted(self.by[PROCESSOR])
        heard: dict[str, list[tuple[object, str, Callable[[int, int], None]]]] = {
            PROCESSOR: [(guest.memory, "stored", processor), (guest.slat, "changed", processor)],   # RAM that went, or is back as zeros
            DEVICE: [(guest.dma, "stored", _noted(self.by[DEVICE]))],
            HOST: [(guest.host.memory, "written", self._by_host)]}
        self._stops: list[Callable[[], None]] = [watch(*point) for way in WAYS if way not in without for point in heard[way]]

    @property
    def count(self) -> int:
        """How many pages are dirty now."""
        return len(set().union(*self.by.values()))

    def take(self) -> list[int]:
        """Return the numbers of the dirty pages, in order, and begin anew: reading clears (Linux, KVM_GET_DIRTY_LOG)."""
        found = sorted(set().union(*self.by.values()))
        for pages in self.by.values():
            pages.clear()
        return found

    def stop(self) -> None:
        """Stop to log."""
        for stop in self._stops:
            stop()
        self._stops.clear()

    def _by_host(self, spa: int, length: int) -> None:
        self.by[HOST].update(self._backing.pages_at(spa, length))


def _noted(pages: set[int]) -> Callable[[int, int], None]:
    """Return what notes the pages of [address, address+length) in `pages`."""
    add, update = pages.add, pages.update

    def note(address: int, length: int) -> None:
        first, last = address >> 12, address + length - 1 >> 12
        if first == last:
            add(first)
        else:
            update(range(first, last + 1))
    return note
