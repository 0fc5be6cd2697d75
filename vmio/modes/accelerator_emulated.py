"""A matrix engine by full emulation: a PCI function in a slot of the guest's PC, each access of a register an exit.

The product is the same engine's as in the other modes, and takes the same time: modes differ in how a guest reaches it.
"""

from collections.abc import Sequence

from vmio.devices.board import Board
from vmio.devices.pci import header as h
from vmio.devices.pci.wire import MSIX as MSIX_LAYOUT
from vmio.devices.pci.wire import MSIX_ENABLE, MSIX_ENTRY
from vmio.drivers.accelerator import MEMORY, AcceleratorDriver, RegisterDriver, RingDriver
from vmio.drivers.pages import GuestPages
from vmio.hardware.accelerator.engine import Engine
from vmio.hardware.accelerator.function import EngineFunction
from vmio.hardware.accelerator.pci import MSIX, AcceleratorFunction
from vmio.hardware.accelerator.registers import TABLE
from vmio.hypervisor.apic import X2APIC_EOI
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.clock import Timers
from vmio.machine.contracts import SectorStore
from vmio.machine.memory import PAGE
from vmio.machine.probes import watch
from vmio.modes.platform import Platform

EMULATED = Form("emulated matrix engine", 1, "options", "engine", "function")
VECTOR = 0x70               # and the next ones, by slot
WINDOW = 0xE100_0000        # where a generator's firmware has put BAR 0, 128 KiB a slot
ENABLE = 1 << 31            # of the address register at CF8h
DRIVER_MEMORY = (8 << 20) + MEMORY - MEMORY % (1 << 20)


class EmulatedAccelerator:
    """With a `ring`, or by registers only."""

    driver_memory = DRIVER_MEMORY
    in_memory = True
    for_each_vcpu = False

    def __init__(self, ring: bool = True) -> None:
        self.ring, self.slot = ring, 0
        self.function: EngineFunction       # from `plug` on

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[SectorStore]:
        """Return the media themselves; a matrix engine has no use for them."""
        return media

    def plug(self, platform: Platform, backend: object = None) -> None:
        """Put the function into a slot of the guest's board."""
        clock = platform.guest.clock
        self.function = EngineFunction(Engine(clock), clock)

        def fill(board: Board, slot: int) -> None:
            self.slot = slot
            board.plug(slot, AcceleratorFunction(self.function), "matrix engine")
        platform.plan_slot(fill)

    @property
    def engine(self) -> Engine:
        """Who does the products, and counts how long."""
        return self.function.engine

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: each operation of the engine."""
        watch(self.engine, "served", lambda user, span: served(span))

    def timers(self) -> Timers:
        """See `Attachment`: the operation under way, and doorbells."""
        return [("operation", self.engine.timer), *self.function.timers()]

    def save(self, saving: Saving) -> State:
        """See `Attachment`; the board is the platform's."""
        return EMULATED.state(options=[self.ring], engine=self.engine.save([self.function]), function=self.function.save())

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        saved = EMULATED.take(state)
        same("emulated matrix engine, options", saved["options"], [self.ring])
        self.function.restore(saved["function"])
        self.engine.restore(saved["engine"], [self.function])

    def boot(self, cpu: VCpu, pages: GuestPages, size: int = MEMORY) -> Steps[AcceleratorDriver]:
        """Firmware's part, the interrupt by message, the driver with `size` bytes of memory; a generator that returns it."""
        bar = WINDOW + (self.slot << 17)
        for register, value in ((h.BAR0, bar), (h.BAR0 + 4, 0), (h.COMMAND, h.COMMAND_MEMORY | h.COMMAND_MASTER)):
            self._configure(cpu, register, value)
        words = MSIX_ENTRY.pack(address=0xFEE0_0000, data=VECTOR + self.slot)
        for at in range(0, len(words), 4):
            cpu.store(bar + TABLE + at, 4, int.from_bytes(words[at:at + 4], "little"))
        self._configure(cpu, MSIX + MSIX_LAYOUT.at("control")[0] & ~3, MSIX_ENABLE << 16)
        driver = (RingDriver if self.ring else RegisterDriver)(cpu, bar, pages.take(size // PAGE), size=size)

        def done(cpu: VCpu) -> None:
            cpu.wrmsr(X2APIC_EOI, 0)
            driver.interrupt(cpu)
        cpu.on_interrupt(VECTOR + self.slot, done)
        yield from driver.init()
        return driver

    def _configure(self, cpu: VCpu, register: int, value: int) -> None:
        cpu.outl(0xCF8, ENABLE | self.slot << 11 | register)
        cpu.outl(0xCFC, value)
