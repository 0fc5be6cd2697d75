"""A matrix engine as a service: the guest makes command buffers, the host looks at each, owns the device, and lets guests take turns."""

from collections.abc import Sequence

from vmio.drivers.accelerator import MEMORY
from vmio.drivers.accelerator_vsc import AcceleratorVsc
from vmio.drivers.pages import GuestPages
from vmio.hardware.accelerator.engine import Engine, User
from vmio.host.accelerator.service import AcceleratorService
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State
from vmio.machine.clock import Timers
from vmio.machine.contracts import SectorStore
from vmio.machine.memory import PAGE
from vmio.machine.probes import watch
from vmio.modes.accelerator_emulated import DRIVER_MEMORY
from vmio.modes.platform import Platform
from vmio.vmbus.accelerator import checkpoint
from vmio.vmbus.accelerator.vsp import AcceleratorVsp

SPLIT = Form("split matrix engine", 1, "vsp")


class SplitAccelerator:
    """Its backend is an `AcceleratorService`, which several guests may share; without one the host gets one for this guest."""

    driver_memory = DRIVER_MEMORY
    in_memory = True
    for_each_vcpu = False

    def __init__(self, shared: int = MEMORY) -> None:
        """`shared`: bytes of the guest's RAM that driver and service share, whole pages."""
        self.shared = shared

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[SectorStore]:
        """Return the media themselves; a matrix engine has no use for them."""
        return media

    def plug(self, platform: Platform, backend: AcceleratorService | None = None) -> None:
        """Offer the service on the guest's bus."""
        self.platform, bus = platform, platform.bus
        self.service = backend or AcceleratorService(platform.host)
        self.context = self.service.context()
        self.vsp = AcceleratorVsp(platform.host, platform.guest, self.context, platform.number())
        self.vsp.offer(bus)

    @property
    def engine(self) -> Engine:
        """Who does the products, and counts how long."""
        return self.service.engine

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: each operation of the engine, while it works for this guest."""
        def mine(user: User, span: tuple[int, int]) -> None:
            running = self.service.running
            if running is not None and running.context is self.context:
                served(span)
        watch(self.engine, "served", mine)

    def timers(self) -> Timers:
        """See `Attachment`."""
        return []

    @property
    def hardware(self) -> AcceleratorService:
        """The host's service, which is saved once for all of its guests."""
        return self.service

    def save(self, saving: Saving) -> State:
        """See `Attachment`; service and device are the host's."""
        return SPLIT.state(vsp=checkpoint.save(self.vsp))

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        checkpoint.restore(self.vsp, SPLIT.take(state)["vsp"])

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[AcceleratorVsc]:
        """Bring up the bus and the service; a generator that returns an `AcceleratorVsc`."""
        client, channel = yield from self.platform.channel(cpu, pages, self.vsp)
        driver = AcceleratorVsc(client, channel, pages.take(self.shared // PAGE), self.shared)
        yield from driver.init()
        return driver
