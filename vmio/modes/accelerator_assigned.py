"""A matrix engine passed through: the guest's own driver on the host's device, or on a virtual function of it, behind an IOMMU domain."""

from collections.abc import Sequence

from vmio.drivers.accelerator import MEMORY, RingDriver
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import Rescinded
from vmio.drivers.vpci import VpciBus
from vmio.hardware.accelerator.engine import Engine
from vmio.hardware.accelerator.function import EngineFunction
from vmio.host.accelerator.assignable import AcceleratorPlace, HostAccelerator
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.clock import Timers
from vmio.machine.contracts import SectorStore
from vmio.machine.memory import PAGE
from vmio.machine.probes import watch
from vmio.modes.accelerator_emulated import DRIVER_MEMORY
from vmio.modes.assigned import OnVirtualPci
from vmio.modes.platform import Platform
from vmio.passthrough import checkpoint as assignment
from vmio.passthrough.assignment import assign

ASSIGNED = Form("assigned matrix engine", 1, "options", "lent")
FIRST_VECTOR = 0x70        # of a guest's first device, and the next ones


class AssignedAccelerator(OnVirtualPci):
    """The whole device, or a `virtual` function of it; `delivery` of its interrupts "injected" or "posted".

    Its backend is a place on a `HostAccelerator`; without one the host gets a device for this guest.
    """

    driver_memory = DRIVER_MEMORY
    in_memory = True
    for_each_vcpu = False

    def __init__(self, virtual: bool = False, delivery: str = "injected") -> None:
        self.virtual, self.delivery = virtual, delivery
        self.driver: RingDriver | None = None       # from `boot` on

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[SectorStore]:
        """Return the media themselves; a matrix engine has no use for them."""
        return media

    def plug(self, platform: Platform, backend: AcceleratorPlace | None = None) -> None:
        """Assign the function to the guest, in a domain of the guest's own, with all of its RAM."""
        self.platform, guest = platform, platform.guest
        place = backend or HostAccelerator(platform.host, int(self.virtual)).places[0]
        self.machine, bus, self.number = place.machine, platform.bus, platform.number()
        self.iommu = self.machine.iommu
        self.domain = self.iommu.domain(allowed=[(spa, length) for _, spa, length in guest.backing.runs()])
        self.domain.map_guest(guest)
        with self.undone_if_refused():
            self.lent = assign(place.function, guest, bus, self.machine.router, self.domain, self.delivery, self.number)
        self.iommu.enable()

    @property
    def engine(self) -> Engine:
        """Who does the products, and counts how long."""
        return self.machine.engine

    @property
    def function(self) -> EngineFunction:
        """The registers that the guest has."""
        found: EngineFunction = self.lent.function.device
        return found

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: each operation of the engine for this guest."""
        function = self.function
        watch(self.engine, "served", lambda user, span: served(span) if user is function else None)

    def timers(self) -> Timers:
        """See `Attachment`."""
        return []

    @property
    def hardware(self) -> HostAccelerator:
        """The host's device, which is saved once for all of its guests."""
        return self.machine

    def save(self, saving: Saving) -> State:
        """See `Attachment`; the device, its IOMMU and the router are the host's."""
        saving.assigned.add((self.platform.guest.name, self.lent.function.name))
        return ASSIGNED.state(options=[self.virtual, self.delivery], lent=assignment.save(self.lent))

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        saved = ASSIGNED.take(state)
        same("assigned matrix engine, options", saved["options"], [self.virtual, self.delivery])
        assignment.restore(self.lent, saved["lent"])

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[RingDriver]:
        """Bus, function, BAR, interrupt, ring, where nearly all exits of this mode are; returns a `RingDriver`."""
        client, channel = yield from self.platform.channel(cpu, pages, self.lent.vsp)
        self.bus = bus = VpciBus(client, channel, self.platform.mmio, on_gone=self.gone)
        yield from bus.init()
        function, = bus.functions
        function.enable()
        self._memory = pages, pages.take(MEMORY // PAGE)
        self.driver = driver = RingDriver(cpu, function.bar(0), self._memory[1])
        yield from function.connect(0, FIRST_VECTOR + self.number - 1, driver.interrupt)
        yield from self.start(driver)
        return driver

    def start(self, driver: RingDriver) -> Steps[None]:
        """Let the driver reset the function and tell it where the ring is; a generator."""
        yield from driver.init()

    # While the guest runs; see `OnVirtualPci`.

    def stopped(self) -> Steps[None]:
        """Nothing is under way: a driver of this kind waits for each of its calls."""
        return
        yield

    def gone(self) -> None:
        """The call under way has no end; the driver says so."""
        if self.driver is not None:
            self.driver.lose(Rescinded("matrix engine: the host has taken it away"))

    def give_memory_back(self) -> None:
        """Ring and data."""
        pages, at = self._memory
        pages.give_back(at, MEMORY // PAGE)
