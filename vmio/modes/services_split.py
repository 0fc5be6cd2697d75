"""The integration services on a guest's bus: shutdown, heartbeat, time, keys and values.  Their other half is the operating system's."""

from collections.abc import Sequence
from datetime import datetime

from vmio.drivers.pages import GuestPages
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.clock import Timers
from vmio.machine.contracts import SectorStore
from vmio.modes.platform import Platform
from vmio.vmbus.integration import checkpoint as service
from vmio.vmbus.integration.heartbeat import Heartbeat
from vmio.vmbus.integration.kvp import Kvp
from vmio.vmbus.integration.shutdown import Shutdown
from vmio.vmbus.integration.timesync import TimeSync

TODAY = datetime(2026, 1, 1)        # a host's date that is the same in each run
SERVICES = Form("integration services", 1, "base", "services")


class SplitServices:
    """`base` is the host's date (UTC) when the machine's clock reads 0.  A generator has no driver for these: it leaves them closed."""

    driver_memory = 1 << 20
    in_memory = True
    for_each_vcpu = True

    def __init__(self, base: datetime = TODAY) -> None:
        self.base = base

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[SectorStore]:
        """Return the media themselves; services have no use for them."""
        return media

    def plug(self, platform: Platform, backend: object = None) -> None:
        """Offer them on the guest's bus."""
        bus, host, guest = platform.bus, platform.host, platform.guest
        self.shutdown, self.heartbeat = Shutdown(host, guest), Heartbeat(host, guest)
        self.time, self.kvp = TimeSync(host, guest, self.base), Kvp(host, guest)
        self.all = {"shutdown": self.shutdown, "heartbeat": self.heartbeat, "time": self.time, "kvp": self.kvp}
        for each in self.all.values():
            each.offer(bus)

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: services have no requests of the guest's."""

    def timers(self) -> Timers:
        """See `Attachment`."""
        return [(name, each.timer) for name, each in self.all.items()]

    def save(self, saving: Saving) -> State:
        """See `Attachment`."""
        return SERVICES.state(base=self.base.isoformat(), services={name: service.save(each, saving) for name, each in self.all.items()})

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        saved = SERVICES.take(state)
        same("integration services, the host's date", saved["base"], self.base.isoformat())
        for name, each in self.all.items():
            service.restore(each, saved["services"][name])

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[None]:
        """Nothing to bring up; a generator that returns None."""
        return
        yield
