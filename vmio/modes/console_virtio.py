"""A console by virtio: a driver in the guest, the device in a slot of its board, somebody on the host who reads and types."""

from collections.abc import Callable

from vmio.drivers.pages import GuestPages
from vmio.drivers.virtio_console import MEMORY, VirtioConsole
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE
from vmio.modes.platform import Platform
from vmio.modes.virtio_part import VirtioPart
from vmio.virtio.console import NO_SIZE, Console


class VirtioSplitConsole(VirtioPart):
    """`sink(bytes)` gets what the guest says; `size` is (columns, rows) of the window."""

    driver_memory = (1 << 20) + MEMORY
    what = "console"
    device: Console

    def __init__(self, sink: Callable[[bytes], object] | None = None, size: tuple[int, int] = NO_SIZE) -> None:
        self.sink, self.size = sink, size

    def plug(self, platform: Platform, backend: object = None) -> None:
        """Put the console into a slot."""
        self.put(platform, lambda memory: Console(memory, self.sink, self.size))

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[VirtioConsole]:
        """Firmware's part, then the driver; a generator that returns a `VirtioConsole`."""
        transport = self.transport(cpu, lambda: console.changed(), lambda: console.interrupt())
        console = VirtioConsole(cpu, transport, pages.take(-(-MEMORY // PAGE)))
        yield from console.init()
        return console
