"""A network card by full emulation: a Tulip in a PCI slot of the guest's PC, and the guest's driver for it."""

from collections.abc import Sequence

from vmio.devices.board import Board
from vmio.devices.net.tulip.pci import TulipFunction
from vmio.devices.net.tulip.tulip import Tulip
from vmio.devices.pci import header as h
from vmio.devices.pci.piix import PIRQ_ROUTE, pirq_of
from vmio.drivers import pic
from vmio.drivers.pages import GuestPages
from vmio.drivers.tulip import BUDGET, MEMORY, TulipDriver
from vmio.drivers.tulip_moderation import NONE, Moderation
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.clock import Timer, Timers
from vmio.machine.contracts import Options, SectorStore
from vmio.machine.memory import PAGE
from vmio.machine.net.contracts import NetPort
from vmio.modes.platform import Platform

NET = Form("emulated network card", 1, "options", "card")
PORTS, IRQ = 0xC100, 11       # where a generator's firmware has put BAR 0, and the interrupt of its slot
ENABLE = 1 << 31              # of the address register at CF8h
BRIDGE = 1 << 11              # device 1, function 0: who routes PCI's interrupts
LEVEL_REGISTER = 0x4D1        # edge or level, of IRQ 8 to 15


class EmulatedNet:
    """`address` is the card's; `chip` "21140A" (Hyper-V's legacy adapter) or "21143"; `pace` "wire", or "instant".

    `moderation` and `budget` are what the guest's driver does about interrupts (`TulipDriver`).
    Its backend is the `NetPort` that it is plugged into.
    """

    driver_memory = (1 << 20) + MEMORY
    in_memory = True
    for_each_vcpu = False

    card: Tulip              # from `power_on` on

    def __init__(self, address: bytes, chip: str = "21140A", pace: str = "wire", moderation: Moderation = NONE,
                 budget: int = BUDGET) -> None:
        self.moderation, self.budget = moderation, budget
        self.options: Options = {"address": address, "chip": chip, "pace": pace}
        self.slot = 0

    @property
    def address(self) -> bytes:
        """The card's own, in its ROM."""
        address: bytes = self.options["address"]
        return address

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[SectorStore]:
        """Return the media themselves; a network card has no use for them."""
        return media

    def plug(self, platform: Platform, backend: NetPort) -> None:
        """Put the card into a slot of the guest's board, and its cable into the port."""
        card = self.card = Tulip(platform.guest.clock, **self.options)

        def fill(board: Board, slot: int) -> None:
            self.slot = slot
            board.plug(slot, TulipFunction(card), "tulip")
            card.plug_in(backend)
        platform.plan_slot(fill)

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: a card has no requests."""

    def timers(self) -> Timers:
        """See `Attachment`."""
        return [(name, timer) for name, timer in self.card.timers() if timer is None or isinstance(timer, Timer)]

    def save(self, saving: Saving) -> State:
        """See `Attachment`; the board is the platform's, and what is at the other end of the cable saves itself."""
        return NET.state(options=self.options, card=self.card.save())

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        saved = NET.take(state)
        same("emulated network card, options", saved["options"], self.options)
        self.card.restore(saved["card"])

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[TulipDriver]:
        """Firmware's part, the interrupt controller, the driver; a generator that returns the `TulipDriver`."""
        for register, value in ((h.BAR0, PORTS), (h.COMMAND, h.COMMAND_IO | h.COMMAND_MASTER)):
            self._configure(cpu, self.slot << 11 | register, value)
        route = PIRQ_ROUTE + pirq_of(self.slot, 0)
        cpu.outl(0xCF8, ENABLE | BRIDGE | route & ~3)
        cpu.outb(0xCFC + route % 4, IRQ)
        cpu.outb(LEVEL_REGISTER, cpu.inb(LEVEL_REGISTER) | 1 << IRQ - 8)
        pic.init(cpu)
        driver = TulipDriver(cpu, PORTS, pages.take(MEMORY // PAGE), self.options["chip"], self.moderation, self.budget)
        pic.connect(cpu, IRQ, driver.interrupt)
        yield from driver.init()
        return driver

    @staticmethod
    def _configure(cpu: VCpu, where: int, value: int) -> None:
        cpu.outl(0xCF8, ENABLE | where)
        cpu.outl(0xCFC, value)
