"""A disk by full emulation: a PC's board with an ATA disk, and the guest's ATA driver."""

from collections.abc import Callable, Sequence
from typing import Any

from vmio.devices.ata.disk import AtaDisk
from vmio.devices.board import Board
from vmio.drivers import pic
from vmio.drivers.ata import AtaDriver
from vmio.drivers.ata_queue import AtaQueue
from vmio.drivers.pages import GuestPages
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.media.medium import Medium
from vmio.machine.probes import watch
from vmio.machine.storage import SECTOR
from vmio.modes.platform import Platform

BUS_MASTER = 0xC000    # where this guest's firmware maps the IDE function's BAR 4


class EmulatedDisk:
    """`transfer` "pio", "multiple" or "dma"; `string` REP INS and OUTS, or single accesses
    of `width` bytes; the guest waits for interrupts, or is `polled`."""

    POINTS = {"served": "((from, until) in ns) of each request that the medium had",
              "copied": "((from, until) in ns) of data that the emulator moves"}
    served: Span | None = None
    copied: Span | None = None
    driver_memory = 1 << 20
    in_memory = False        # each access of a register exits, at its time

    def __init__(self, transfer: str = "pio", string: bool = True, width: int = 2, polled: bool = False) -> None:
        self.options = {"transfer": transfer, "string": string, "width": width, "interrupts": not polled}
        self.dma = transfer == "dma"

    @staticmethod
    def backends(host: Host, media: Sequence[Medium]) -> Sequence[Any]:
        """Return the media themselves: an emulated disk has its image to itself."""
        return media

    def plug(self, platform: Platform, backend: Any) -> None:
        """Build a board with this disk as primary master.  ValueError for a guest that has a board already."""
        if platform.board is not None:
            raise ValueError(f"guest {platform.guest.name}: has an emulated disk already; its board takes one here")
        clock, costs = platform.guest.clock, platform.host.costs

        def service(kind: str, sectors: int, done: Callable[[], None]) -> None:
            if kind in ("buffer", "reset"):
                done()                   # the medium has no part in it
                return
            ready = over = clock.now + costs.disk_ns(kind, sectors)
            if self.served is not None:
                self.served((clock.now, ready))
            if self.dma:
                over += costs.copy_ns(sectors * SECTOR)   # the emulator moves what a DMA engine would
                if self.copied is not None:
                    self.copied((ready, over))
            clock.call_at(over, done)
        platform.board = Board(platform.guest, (AtaDisk(backend),), service)

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`."""
        watch(self, "served", served)
        watch(self, "copied", copied)

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
