"""Memory that a guest gives away and takes back, by virtio: a balloon in the guest, the device in a slot of its board."""

from vmio.drivers.heap import Heap
from vmio.drivers.pages import GuestPages
from vmio.drivers.virtio_balloon import MEMORY, VirtioBalloon
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE
from vmio.modes.platform import Platform
from vmio.modes.virtio_part import VirtioPart
from vmio.virtio.balloon import Balloon


class VirtioSplitMemory(VirtioPart):
    """The driver gives away from the memory behind `heap_at` (guest-physical); below it are drivers, and a program's buffers."""

    driver_memory = 2 << 20
    what = "balloon"
    device: Balloon

    def __init__(self, heap_at: int = 18 << 20) -> None:
        if heap_at % PAGE or heap_at < self.driver_memory:
            raise ValueError(f"heap_at {heap_at:#x}: a multiple of {PAGE}, from {self.driver_memory:#x} on")
        self.heap_at = heap_at

    def plug(self, platform: Platform, backend: object = None) -> None:
        """Put the balloon into a slot.  ValueError if the guest has nothing to give."""
        guest = platform.guest
        if self.heap_at >= guest.ram:
            raise ValueError(f"guest {guest.name}: RAM ends at {guest.ram:#x}; the memory that it can give away begins at {self.heap_at:#x}")
        self.put(platform, lambda memory: Balloon(memory, platform.host, guest))

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[VirtioBalloon]:
        """Firmware's part, then the driver; a generator that returns a `VirtioBalloon`."""
        first, total = self.heap_at // PAGE, self.platform.guest.first_ram // PAGE
        transport = self.transport(cpu, lambda: balloon.changed(), lambda: balloon.interrupt())
        balloon = VirtioBalloon(cpu, transport, pages.take(-(-MEMORY // PAGE)), Heap(first, total - first, total))
        yield from balloon.init()
        return balloon
