"""Attacks through an emulated network card's own DMA: descriptors and buffers outside of the RAM, a list that hardly ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vmio.attacks.ata import Flat
from vmio.attacks.catalogue import collection
from vmio.attacks.defence import Watchdog, without
from vmio.attacks.emulated import EmulatedWorld
from vmio.attacks.net_client import ACCOMPLICE, ATTACKER, frame
from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED
from vmio.attacks.world import BUFFER, CANARY
from vmio.devices.net.tulip import bits as b
from vmio.devices.net.tulip import transmit
from vmio.devices.pci import header as h
from vmio.drivers.tulip import DESCRIPTOR
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.net.cable import Cable
from vmio.modes import GuestMachine
from vmio.modes.net_emulated import PORTS, EmulatedNet

MANUAL = "DIGITAL 21140A Hardware Reference Manual EC-QN7NF-TE, 4.2"
TX, RX = 0x10_0000, 0x1_0000                          # where the attacker has its lists
LOOPBACK = 1 << b.LOOPBACK_SHIFT                      # the chip hears what it sends


class TulipWorld(EmulatedWorld):
    """The attacker has a Tulip in place of a disk, and an accomplice at the other end of its cable: `loot` is what that one hears."""

    def fit(self, attacker: GuestMachine) -> None:
        """Plan the card."""
        cable = Cable()
        cable.ends[1].connect(self)
        self.attachment = EmulatedNet(ATTACKER, pace="instant")
        attacker.attach(self.attachment, backend=cable.ends[0])

    @property
    def card(self) -> Any:
        """The chip."""
        return self.attachment.card

    def receive(self, got: bytes) -> bool:
        """See `Station`."""
        self.loot += got
        return True

    def link_changed(self, up: bool) -> None:
        """Nobody pulls this cable."""

    def csr(self, cpu: VCpu, number: int, value: int) -> None:
        """Write a register."""
        cpu.outl(PORTS + 8 * number, value)

    def ready(self, cpu: VCpu) -> Steps[None]:
        """Firmware's part, so that the card is a bus master, and the attack begun."""
        for register, value in ((h.BAR0, PORTS), (h.COMMAND, h.COMMAND_IO | h.COMMAND_MASTER)):
            cpu.outl(0xCF8, 1 << 31 | self.attachment.slot << 11 | register)
            cpu.outl(0xCFC, value)
        yield from self.begin(cpu)

    def start(self, cpu: VCpu, mode: int) -> Steps[None]:
        """Both lists, both processes; told if the chip meets a bus error."""
        self.csr(cpu, 3, RX)
        self.csr(cpu, 4, TX)
        self.csr(cpu, 6, b.MUST_BE_ONE | b.ST | b.SR | mode)
        yield from cpu.hlt(1_000_000)
        if cpu.inl(PORTS + 8 * 5) & b.FBE:
            self.told("Tulip bus error")


ATTACKS, attack = collection("tulip", "emulated", TulipWorld, "registers")


@contextmanager
def flat(world: TulipWorld, tick: Callable[[], None] = lambda: None) -> Iterator[None]:
    """The emulator's DMA goes by arithmetic, not by the guest's table."""
    memory = Flat(world, tick)
    with without(world.card.dma, "read", memory.read), without(world.card.dma, "write", memory.write):
        yield


def foreign(world: TulipWorld) -> int:
    """Return where the neighbour's secret is, counted from where our RAM begins."""
    return world.neighbour.ram_spa(CANARY) - world.attacker.ram_spa(0)


def to_send(cpu: VCpu, at: int, address: int) -> None:
    """Write two descriptors: a header of our own, and 512 bytes from an address."""
    header = frame(ACCOMPLICE, ATTACKER, b"")
    cpu.write(BUFFER, header)
    cpu.write(at, DESCRIPTOR.pack(b.OWN, b.T_FS | len(header), BUFFER, 0) + DESCRIPTOR.pack(b.OWN, b.T_LS | 512, address, 0))


@attack("tulip-sends-foreign-ram", "A transmit buffer outside of the RAM", "a card's DMA reaches the guest's RAM", MANUAL,
        "the emulator's DMA is translated by the guest's table", flat, REJECT, FAIL, wall="SLAT, for DMA")
def sends(world: TulipWorld, cpu: VCpu) -> Steps:
    yield from world.ready(cpu)
    to_send(cpu, TX, foreign(world))
    yield from world.start(cpu, b.PR)


@attack("tulip-receives-into-foreign-ram", "A receive buffer outside of the RAM, and a frame to oneself", "a card's DMA reaches the guest's RAM",
        MANUAL, "the emulator's DMA is translated by the guest's table", flat, REJECT, FAIL, wall="SLAT, for DMA")
def receives(world: TulipWorld, cpu: VCpu) -> Steps:
    yield from world.ready(cpu)
    to_send(cpu, TX, BUFFER)
    cpu.write(RX, DESCRIPTOR.pack(b.OWN, 1536, foreign(world), 0))
    yield from world.start(cpu, b.PR | LOOPBACK)


@contextmanager
def without_a_pause(world: TulipWorld) -> Iterator[None]:
    """The chip goes on as long as there are descriptors."""
    with without(transmit, "BURST", 1 << 60), flat(world, Watchdog().tick):
        yield


@attack("tulip-list-without-end", "25,000 descriptors without data", "one register write costs the host so much and no more", MANUAL,
        "the chip pauses after so many descriptors", without_a_pause, PASS, WEDGED, wall="descriptor limit", long=True)
def endless(world: TulipWorld, cpu: VCpu) -> Steps:
    yield from world.ready(cpu)
    cpu.write(TX, DESCRIPTOR.pack(b.OWN, 0, 0, 0) * 25_000)
    yield from world.start(cpu, b.PR)
