"""Dynamic memory by split drivers: a balloon in the guest, the host's half behind it."""

from collections.abc import Sequence

from vmio.drivers.balloon import REPORT_DELAY, Balloon
from vmio.drivers.heap import Heap
from vmio.drivers.pages import GuestPages
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.clock import Timers
from vmio.machine.contracts import SectorStore
from vmio.machine.memory import PAGE
from vmio.modes.platform import Platform
from vmio.vmbus.balloon import checkpoint
from vmio.vmbus.balloon.dynamic import DynamicMemory

DYNAMIC = Form("dynamic memory's attachment", 1, "options", "memory")


class SplitMemory:
    """`maximum` MiB is what the guest is told that it will have at most; `report_delay` s pass before its first report (Linux: 45).

    The driver gives away from the memory behind `heap_at` (guest-physical); below it are drivers, and a program's buffers unless it
    takes them from the driver's `heap`, which is of the kind `heap`.
    """

    driver_memory = 2 << 20
    in_memory = True
    for_each_vcpu = True        # it is the guest's, whichever vCPU asks

    def __init__(self, maximum: int | None = None, report_delay: int = REPORT_DELAY, heap_at: int = 18 << 20,
                 heap: type[Heap] = Heap) -> None:
        if heap_at % PAGE or heap_at < self.driver_memory:
            raise ValueError(f"heap_at {heap_at:#x}: a multiple of {PAGE}, from {self.driver_memory:#x} on")
        self.maximum, self.report_delay, self.heap_at, self.heap = maximum, report_delay, heap_at, heap

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[SectorStore]:
        """Return the media themselves; memory has no use for them."""
        return media

    def plug(self, platform: Platform, backend: object = None) -> None:
        """Offer it on the guest's bus.  ValueError if the guest has nothing to give."""
        guest = platform.guest
        if self.heap_at >= guest.ram:
            raise ValueError(f"guest {guest.name}: RAM ends at {guest.ram:#x}; the memory that it can give away begins at {self.heap_at:#x}")
        self.platform = platform
        bus = platform.bus                  # made first: the guest is an enlightened one from then on
        pages = None if self.maximum is None else self.maximum * (1 << 20) // PAGE
        self.memory = DynamicMemory(platform.host, guest, number=platform.number(), maximum=pages)
        self.memory.offer(bus)

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: memory has no requests."""

    def timers(self) -> Timers:
        """See `Attachment`."""
        return []

    def save(self, saving: Saving) -> State:
        """See `Attachment`."""
        return DYNAMIC.state(options=self._options, memory=checkpoint.save(self.memory))

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        saved = DYNAMIC.take(state)
        same("dynamic memory, options", saved["options"], self._options)
        checkpoint.restore(self.memory, saved["memory"])

    @property
    def _options(self) -> list:
        return [self.maximum, self.report_delay, self.heap_at]

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[Balloon]:
        """Bring up the bus and the balloon; a generator that returns a `Balloon`."""
        client, channel = yield from self.platform.channel(cpu, pages, self.memory)
        first, total = self.heap_at // PAGE, self.platform.guest.first_ram // PAGE
        balloon = Balloon(client, channel, self.heap(first, total - first, total), self.report_delay)
        yield from balloon.init()
        return balloon
