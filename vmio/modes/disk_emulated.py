"""A disk by full emulation: a PC's board with an ATA disk, and the guest's ATA driver."""

from collections.abc import Callable, Sequence

from vmio.devices.ata.disk import AtaDisk
from vmio.drivers import pic
from vmio.drivers.ata import AtaDriver
from vmio.drivers.ata_queue import AtaQueue
from vmio.drivers.pages import GuestPages
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.clock import Timer, Timers
from vmio.machine.contracts import Options, SectorStore
from vmio.machine.probes import watch
from vmio.machine.storage import SECTOR
from vmio.modes.platform import Platform

EMULATED = Form("emulated disk", 1, "options", "access")
BUS_MASTER = 0xC000    # where this guest's firmware maps the IDE function's BAR 4


class EmulatedDisk:
    """`transfer` "pio", "multiple" or "dma"; `string` REP INS and OUTS, or single accesses
    of `width` bytes; the guest waits for interrupts, or is `polled`.  All of that is our driver's choice;
    another's is DMA, unless `offers_dma` is false: then the disk has no DMA modes."""

    POINTS = {"served": "((from, until) in ns) of each request that the medium had",
              "copied": "((from, until) in ns) of data that the emulator moves"}
    served: Span | None = None
    copied: Span | None = None
    driver_memory = 1 << 20
    in_memory = False        # each access of a register exits, at its time
    for_each_vcpu = False

    def __init__(self, transfer: str = "pio", string: bool = True, width: int = 2, polled: bool = False,
                 offers_dma: bool = True) -> None:
        self.options: Options = {"transfer": transfer, "string": string, "width": width, "interrupts": not polled}
        if transfer == "dma" and not offers_dma:
            raise ValueError("transfer dma: a disk that offers no DMA moves its data by pio or multiple")
        self.dma, self.offers_dma = transfer == "dma", offers_dma
        self._access: Timer | None = None     # when the medium is done with the access under way

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[SectorStore]:
        """Return the media themselves: an emulated disk has its image to itself."""
        return media

    def plug(self, platform: Platform, backend: SectorStore) -> None:
        """Have a board with this disk as primary master.  ValueError for a guest that has one already."""
        clock, costs = platform.guest.clock, platform.host.costs

        def service(op: str, sectors: int, done: Callable[[], None]) -> None:
            if op in ("buffer", "reset"):
                done()                   # the medium has no part in it
                return
            ready = over = clock.now + costs.disk_ns(op, sectors)
            if self.served is not None:
                self.served((clock.now, ready))
            if self.dma:
                over += costs.copy_ns(sectors * SECTOR)   # the emulator moves what a DMA engine would
                if self.copied is not None:
                    self.copied((ready, over))
            if self._access is not None:
                self._access.cancel()    # of an access that has been given up
            self._access = clock.call_at(over, done)
        self._clock, serial = clock, getattr(backend, "serial", None)
        platform.plan_board("disk", disks=(AtaDisk(backend, dma=self.offers_dma, **({} if serial is None else {"serial": serial})),), service=service)

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`."""
        watch(self, "served", served)
        watch(self, "copied", copied)

    def timers(self) -> Timers:
        """See `Attachment`."""
        return [("disk", self._access)]

    @property
    def _pending(self) -> int | None:
        """When the access under way ends, or None."""
        return self._access.when if self._access is not None and self._access.when >= self._clock.now else None

    def save(self, saving: Saving) -> State:
        """See `Attachment`; the board is the platform's."""
        return EMULATED.state(options=self.options, access=self._pending)

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        saved = EMULATED.take(state)
        same("emulated disk, options", saved["options"], self.options)
        if saved["access"] is not None and platform.board is not None:
            self._access = self._clock.call_at(saved["access"], platform.board.ata[0].access())

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[AtaQueue]:
        """Firmware's part, the interrupt controller, the driver; a generator that returns an `AtaQueue`."""
        map_bus_master(cpu)
        pic.init(cpu)
        driver = AtaDriver(cpu, **self.options, bus_master=BUS_MASTER if self.dma else None)
        yield from driver.init()
        return AtaQueue(driver)


def map_bus_master(cpu: VCpu) -> None:
    """Do firmware's part: give BAR 4 of function 0:1.1 its address, switch I/O and bus mastering on."""
    for register, value in ((0x20, BUS_MASTER | 1), (0x04, 0x0005)):
        cpu.outl(0xCF8, 0x8000_0900 | register)
        cpu.outl(0xCFC, value)
