"""A network card by split drivers: NetVSC in the guest, NetVSP on the host, a port of the host's network behind it."""

from collections.abc import Callable, Sequence
from typing import Any

from vmio.drivers.confidential.swiotlb import DEFAULT_KIB, check_kib
from vmio.drivers.contracts import NetDriver
from vmio.drivers.netvsc import NetVsc
from vmio.drivers.pages import GuestPages
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.clock import Timers
from vmio.machine.contracts import SectorStore
from vmio.machine.net.contracts import NetPort
from vmio.modes.on_bus import OnBus
from vmio.modes.platform import Platform
from vmio.vmbus.net import checkpoint as net
from vmio.vmbus.net import nvsp as n
from vmio.vmbus.net.netvsp import NetVsp

SPLIT = Form("split network card", 1, "options", "vsp")


class SplitNet(OnBus):
    """`address` is the card's; `ring_kib`, `batch` and `asks`, its versions, are the guest driver's options (`NetVsc`), `options` the
    host's (`NetVsp`).  `confidential` and `pool_kib` as of `SplitDisk`.

    Its backend is the `NetPort` that it is plugged into.
    """

    driver_memory = 8 << 20
    in_memory = True
    for_each_vcpu = True
    host_half = NetVsp       # a subclass may have another

    def __init__(self, address: bytes, ring_kib: int = 128, batch: int | None = None, asks: tuple[int, ...] = n.VERSIONS,
                 confidential: bool = False, pool_kib: int = DEFAULT_KIB, **options: Any) -> None:
        self.address, self.ring_kib, self.batch, self.asks, self.options = address, ring_kib, batch, asks, options
        self.confidential, self.pool_kib = confidential, pool_kib
        if confidential:
            self.driver_memory = type(self).driver_memory + (check_kib(pool_kib) << 10)

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[SectorStore]:
        """Return the media themselves; a network card has no use for them."""
        return media

    def plug(self, platform: Platform, backend: NetPort) -> None:
        """Offer a card on the guest's bus."""
        self.platform, self.number = platform, platform.number()
        if self.confidential:
            platform.need_pool(self.pool_kib)
        self.vsp = self.host_half(platform.host, platform.guest, backend, self.address, number=self.number, **self.options)
        self.vsp.offer(platform.bus)

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: a card has no requests."""

    def timers(self) -> Timers:
        """See `Attachment`."""
        return []

    def save(self, saving: Saving) -> State:
        """See `Attachment`; what is behind the port saves itself."""
        return SPLIT.state(options=self._options, vsp=net.save(self.vsp))

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        saved = SPLIT.take(state)
        same("split network card, options", saved["options"], self._options)
        net.restore(self.vsp, saved["vsp"])

    @property
    def _options(self) -> list:
        return [self.address, self.ring_kib, self.batch, list(self.asks), self.options]

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[NetDriver]:
        """Bring up the bus and the card; a generator that returns a `NetVsc`."""
        client, channel = yield from self.platform.channel(cpu, pages, self.vsp)
        self.driver = card = NetVsc(client, channel, self.ring_kib, versions=self.asks, batch=self.batch)
        yield from card.init()
        return card

    # While the guest runs; see `Removable`.

    @property
    def offered(self) -> NetVsp:
        """What the guest finds on its bus."""
        return self.vsp

    def take_away(self, done: Callable[[], None], at_once: bool) -> None:
        """Take the card: frames that the host has are sent, those that it has not taken from the ring are lost, and the guest counts them."""
        self.vsp.server.rescind(self.vsp.channel)  # type: ignore[union-attr, arg-type]  # it was offered
        self.vsp.removed()
        done()

    def goes(self) -> Steps[bool]:
        """For the guest: has it been told that the card is gone?"""
        return self.driver.channel.rescinded
        yield

    def leave(self, cpu: VCpu) -> Steps[None]:
        """Let go of it, on the guest's side; a generator."""
        yield from self.driver.let_go()
