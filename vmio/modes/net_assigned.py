"""A network card passed through: the guest's own driver on a virtual function of the host's 82576, behind an IOMMU domain."""

from collections.abc import Sequence

from vmio.drivers.igbvf import MEMORY, IgbVf
from vmio.drivers.pages import GuestPages
from vmio.drivers.vpci import VpciBus
from vmio.hardware.nic.virtual import VirtualNic
from vmio.host.net.nic import HostNic, NicPlace
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.clock import Timers
from vmio.machine.contracts import SectorStore
from vmio.machine.memory import PAGE
from vmio.machine.net.contracts import NetPort
from vmio.modes.assigned import OnVirtualPci
from vmio.modes.platform import Platform
from vmio.passthrough import checkpoint as assignment
from vmio.passthrough.assignment import assign

ASSIGNED = Form("assigned network card", 1, "options", "lent")
FIRST_VECTOR, DEVICES = 0x60, 16       # a guest's n-th device has n-th of the transmit, of the receive and of the other vectors


class AssignedNet(OnVirtualPci):
    """`address` is the card's, or, where the host has given it none, the one that its driver asks for; `delivery` "injected" or "posted".

    Its backend is a place on a `HostNic`, or a `NetPort`, for which the host gets a card with one virtual function.
    """

    driver_memory = 8 << 20
    in_memory = True
    for_each_vcpu = False

    def __init__(self, address: bytes, delivery: str = "injected") -> None:
        self.address, self.delivery = address, delivery
        self.driver: IgbVf | None = None        # from `boot` on

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[SectorStore]:
        """Return the media themselves; a network card has no use for them."""
        return media

    def plug(self, platform: Platform, backend: NetPort | NicPlace) -> None:
        """Assign the function to the guest, in a domain of the guest's own, with all of its RAM."""
        self.platform, guest = platform, platform.guest
        place = backend if isinstance(backend, NicPlace) else HostNic(platform.host, backend, [self.address]).places[0]
        self.nic, bus, self.number = place.nic, platform.bus, platform.number()
        self.iommu = self.nic.iommu
        self.domain = self.iommu.domain(allowed=[(spa, length) for _, spa, length in guest.backing.runs()])
        self.domain.map_guest(guest)
        with self.undone_if_refused():
            self.lent = assign(place.function, guest, bus, self.nic.router, self.domain, self.delivery, self.number)
        self.nic.iommu.enable()

    @property
    def card(self) -> VirtualNic:
        """The virtual function's registers."""
        card: VirtualNic = self.lent.function.device
        return card

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: a card has no requests."""

    def timers(self) -> Timers:
        """See `Attachment`."""
        return []

    @property
    def hardware(self) -> HostNic:
        """The host's card, which is saved once for all of its guests."""
        return self.nic

    def save(self, saving: Saving) -> State:
        """See `Attachment`; the card, its IOMMU and the router are the host's."""
        saving.assigned.add((self.platform.guest.name, self.lent.function.name))
        return ASSIGNED.state(options=[self.address, self.delivery], lent=assignment.save(self.lent))

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        saved = ASSIGNED.take(state)
        same("assigned network card, options", saved["options"], [self.address, self.delivery])
        assignment.restore(self.lent, saved["lent"])

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[IgbVf]:
        """Bus, function, BAR, interrupts, queues, where nearly all exits of this mode are; returns an `IgbVf`."""
        client, channel = yield from self.platform.channel(cpu, pages, self.lent.vsp)
        self.bus = bus = VpciBus(client, channel, self.platform.mmio, on_gone=self.gone)
        yield from bus.init()
        function, = bus.functions
        function.enable()
        self._memory = pages, pages.take(MEMORY // PAGE)
        self.driver = driver = IgbVf(cpu, function.bar(0), self._memory[1], self.address)
        first = FIRST_VECTOR + self.number - 1
        for entry, handler in enumerate((driver.tx_interrupt, driver.rx_interrupt, driver.other_interrupt)):
            yield from function.connect(entry, first + DEVICES * entry, handler)
        yield from driver.init()
        return driver

    # While the guest runs; see `OnVirtualPci`.

    def stopped(self) -> Steps[None]:
        """All frames have left, and those that have come are taken."""
        if self.driver is not None:
            yield from self.driver.drain()
            self.driver.work()
            self.driver.stop()

    def gone(self) -> None:
        """What the card had written to memory is taken; frames that had not left are lost, and counted."""
        if self.driver is not None:
            self.driver.lose()

    def give_memory_back(self) -> None:
        """Rings and buffers."""
        pages, at = self._memory
        pages.give_back(at, MEMORY // PAGE)
