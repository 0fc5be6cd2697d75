"""A serial port by full emulation: COM1 of a PC's board, and the guest's UART driver."""

from collections.abc import Callable, Sequence

from vmio.drivers import pic
from vmio.drivers.pages import GuestPages
from vmio.drivers.uart import UartDriver
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.clock import Timers
from vmio.machine.contracts import SectorStore
from vmio.modes.platform import Platform

SERIAL = Form("serial port", 1, "pace", "fifo", "interrupts")


class EmulatedSerial:
    """`pace` "instant" or "baud"; `sink(byte)` gets what the port sends; the driver has `fifo` and `interrupts` on or off."""

    driver_memory = 1 << 20
    in_memory = False
    for_each_vcpu = False

    def __init__(self, pace: str = "instant", sink: Callable[[int], object] | None = None, fifo: bool = True,
                 interrupts: bool = False) -> None:
        self.pace, self.sink, self.fifo, self.interrupts = pace, sink, fifo, interrupts

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[SectorStore]:
        """Return the media themselves; a serial port has no use for them."""
        return media

    def plug(self, platform: Platform, backend: object = None) -> None:
        """Have a board whose COM1 this is."""
        platform.plan_board("serial port", uart_pace=self.pace, serial=self.sink)

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: a port has no requests."""

    def timers(self) -> Timers:
        """See `Attachment`: the board's are the platform's."""
        return []

    def save(self, saving: Saving) -> State:
        """See `Attachment`; what was sent is the board's."""
        return SERIAL.state(pace=self.pace, fifo=self.fifo, interrupts=self.interrupts)

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        saved = SERIAL.take(state)
        same("serial port, options", [saved["pace"], saved["fifo"], saved["interrupts"]], [self.pace, self.fifo, self.interrupts])

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[UartDriver]:
        """The interrupt controller and the driver; a generator that returns the `UartDriver`."""
        pic.init(cpu)
        driver = UartDriver(cpu)
        driver.init(fifo=self.fifo, interrupts=self.interrupts)
        return driver
        yield
