"""One more disk of a controller that the guest has: by the same channel, at another LUN."""

from collections.abc import Callable, Sequence

from vmio.drivers.pages import GuestPages
from vmio.drivers.storvsc_unit import Unit
from vmio.host.physical import PhysicalDisk, Slice
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.inflight import after
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import CheckpointRefused, State
from vmio.machine.clock import Timers
from vmio.machine.contracts import SectorStore
from vmio.machine.probes import watch
from vmio.modes.disk_split import SplitDisk
from vmio.modes.platform import Platform
from vmio.vmbus.storage.scsi import ScsiTarget
from vmio.vmbus.storage.storvsp import StorVsp


class SplitLun:
    """A unit of `controller`, the attachment of a disk that the same guest has; `lun` None: the lowest that is free."""

    driver_memory = 1 << 20
    in_memory = True
    for_each_vcpu = False
    own_channel = False
    fixed: str | None = None

    def __init__(self, controller: SplitDisk | None = None, lun: int | None = None) -> None:
        self.controller, self.lun = controller, lun
        self._claimed = False           # its LUN is kept for it

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[Slice]:
        """Return the parts of one physical disk that holds all `media`, which must have one size."""
        return PhysicalDisk(host, media).slices

    def claim(self, platform: Platform) -> None:
        """Have a LUN kept for it.  ValueError without a controller of this guest's, and for a LUN that is taken."""
        if self.controller is None or getattr(self.controller, "platform", None) is not platform:
            raise ValueError(f"guest {platform.guest.name}: a LUN needs the controller of a split disk that this guest has already")
        self.platform, self.vsp, self.number = platform, self.controller.vsp, self.controller.number
        self.lun, self._claimed = self.vsp.promise_unit(self.lun), True

    def plug(self, platform: Platform, backend: Slice) -> None:
        """Have one more unit; ValueError as `claim`, unless that was called before."""
        if not self._claimed:
            self.claim(platform)
        self.backend, self._claimed = backend, False
        self.target = ScsiTarget(backend.sectors, serial=f"vmio{self.lun}", unmap=True)
        self.vsp.add_unit(self.lun, self.target, backend)  # type: ignore[arg-type]  # `claim` has chosen one

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`."""
        watch(self.backend, "served", served)

    def timers(self) -> Timers:
        """See `Attachment`."""
        return []

    def save(self, saving: Saving) -> State:
        """See `Attachment`: not yet."""
        raise CheckpointRefused(f"checkpoint at {saving.now} ns: guest {self.platform.guest.name} has several disks on one controller, "
                                "which can't be saved yet")

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `save`."""
        raise CheckpointRefused("checkpoint: several disks on one controller can't be restored yet")

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[Unit]:
        """Ask the unit what it is; a generator that returns a `Unit`."""
        self.unit = Unit(self.controller.disk, self.lun)  # type: ignore[union-attr, arg-type]  # it was plugged in
        yield from self.unit.init()
        return self.unit

    # While the guest runs; see `Removable`.

    later = staticmethod(SplitDisk.later)

    @property
    def offered(self) -> StorVsp:
        """What the guest finds it on."""
        return self.vsp

    def take_away(self, done: Callable[[], None], at_once: bool) -> None:
        """Take it away: what is under way is carried out and answered, later requests find no such unit."""
        after(self.vsp.remove_unit(self.lun), done)  # type: ignore[arg-type]  # it has one

    def grow(self, sectors: int) -> None:
        """See `SplitDisk`."""
        if not isinstance(self.backend, Slice) or self.backend.disk is None:
            raise ValueError(f"disk of {self.platform.guest.name}: {type(self.backend).__name__} can't grow")
        self.backend.disk.grow(self.backend, sectors)
        self.target.grow(sectors)

    def appears(self) -> Steps[bool]:
        """For the guest: is there such a unit?"""
        return self.lun in (yield from self.controller.units())  # type: ignore[union-attr]  # it was plugged in

    def goes(self) -> Steps[bool]:
        """For the guest: is there none any more, or has the controller gone?"""
        return self.controller.disk.channel.rescinded or not (yield from self.appears())  # type: ignore[union-attr]

    def leave(self, cpu: VCpu) -> Steps[None]:
        """Wait for what is under way: each request is answered, if only by "no such unit"; a generator."""
        if self.unit.in_flight:
            yield from self.unit.until(lambda: not self.unit.in_flight, "the last answers")
