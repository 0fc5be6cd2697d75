"""Attacks by a virtual function of a network card: another's address, a mailbox that never rests, one that is never given back.

Both guests have such a function.  The neighbour's work is to ask its host something by its own mailbox, again and again: all
mailboxes are served by the same driver, the host's, for the physical function.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from simpy.events import Event

from vmio.attacks.catalogue import collection
from vmio.attacks.defence import Watchdog, without
from vmio.attacks.net_client import ATTACKER, FORGED, NEIGHBOUR, SERVER, frame
from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED
from vmio.attacks.world import BUFFER, World, pages_of
from vmio.drivers.errors import DriverError
from vmio.drivers.igbvf_start import RESET
from vmio.drivers.pages import GuestPages
from vmio.drivers.vpci import VpciBus
from vmio.hardware.nic import descriptors as d
from vmio.hardware.nic import registers as r
from vmio.hardware.nic.pools import Pools
from vmio.host.net.igb import LONGEST, Igb
from vmio.host.net.nic import HostNic
from vmio.hypervisor.contracts import Partition, Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE
from vmio.machine.net.cable import Cable
from vmio.modes.net_assigned import AssignedNet

SHEET = "Intel 82576EB data sheet 2.7"
POLL_NS, PATIENCE_NS = 2_000, 50_000_000
RING = 0x2C_0000                    # where the attacker has its descriptors


class MailDisk:
    """`read` and `write` of the neighbour's: a message to the host, and when it is answered the bytes are as they should be."""

    def __init__(self, cpu: VCpu, bar: int, pattern: bytes) -> None:
        self.cpu, self.bar, self.pattern = cpu, bar, pattern

    def ask(self, *words: int) -> Steps[None]:
        """Say it and wait for the answer.  `DriverError` if none comes."""
        cpu, v2p = self.cpu, self.bar + r.V2P
        cpu.store(v2p, 4, r.VF_USES)
        for at, word in enumerate(words):
            cpu.store(self.bar + r.MAIL + 4 * at, 4, word)
        cpu.store(v2p, 4, r.REQUEST)
        until = cpu.now + PATIENCE_NS
        while not cpu.load(v2p, 4) & r.PF_STATUS:
            cpu.compute(POLL_NS)
            yield from cpu.pay()
            if cpu.now > until:
                raise DriverError("the host does not answer the mailbox")
        cpu.store(v2p, 4, r.ACK)

    def read(self, lba: int, sectors: int, gpa: int) -> Steps[None]:
        """Ask for frames of the ordinary length."""
        yield from self.ask(LONGEST, 1522)
        self.cpu.write(gpa, pages_of(self.pattern, PAGE))

    def write(self, lba: int, sectors: int, gpa: int) -> Steps[None]:
        """The same once more."""
        yield from self.ask(LONGEST, 1522)


class NicWorld(World):
    """`nic` is the host's card, at whose wire is a server."""

    def __init__(self) -> None:
        super().__init__()
        cable = Cable()
        cable.ends[1].connect(self)
        self.nic = HostNic(self.host, cable.ends[0], [ATTACKER, NEIGHBOUR])
        self._cards: dict[Partition, AssignedNet] = {}
        for each, place, address in zip(self.machine.guests, self.nic.places, (ATTACKER, NEIGHBOUR)):
            card = self._cards[each.guest] = AssignedNet(address)
            card.plug(each.platform, place)

    def receive(self, got: bytes) -> bool:
        """See `Station`: the server."""
        if FORGED in got:
            self.effects.append("neighbour's frames")
        return True

    def link_changed(self, up: bool) -> None:
        """Nobody pulls this cable."""

    @contextmanager
    def without_iommu(self) -> Iterator[None]:
        """DMA is not translated: a device's addresses are the host's.  The host's own message, which nobody forges here, finds its way."""
        self.nic.iommu.disable()
        yield

    def bring_up(self, cpu: VCpu) -> Steps[MailDisk]:
        """The guest's function, and its RESET, after which the host listens to it."""
        card = self._cards[cpu.guest]
        client, channel = yield from card.platform.channel(cpu, GuestPages(0x10_0000, 0x20_0000), card.lent.vsp)
        bus = VpciBus(client, channel, card.platform.mmio)
        yield from bus.init()
        function, = bus.functions
        function.enable()
        disk = MailDisk(cpu, function.bar(0), self.answers)
        yield from disk.ask(RESET)
        return disk

    def function(self, cpu: VCpu) -> Steps[int]:
        """The attacker's function, with the attack begun; a generator that returns where its registers are."""
        disk = yield from self.bring_up(cpu)
        yield from self.begin(cpu)
        return disk.bar

    def send(self, cpu: VCpu, bar: int, data: bytes) -> None:
        """One frame, by a ring of our own; without an IOMMU it is at the host's addresses."""
        base = 0 if self.nic.iommu.enabled else self.attacker.ram_spa(0)
        cpu.write(BUFFER, data)
        cpu.write(RING, d.TX_DATA.pack(address=base + BUFFER, command=d.DATA | d.T_ADVANCED | d.T_FCS | d.T_END | len(data),
                                       status=len(data) << d.PAYLOAD_SHIFT))
        for register, value in ((r.LENGTH, 128), (r.LOW, base + RING), (r.HEAD, 0), (r.CONTROL, r.ENABLE), (r.TAIL, 1)):
            cpu.store(bar + r.TX + register, 4, value)

    def counters(self) -> dict[str, int]:
        """Return the refusals of the card's switch, of its IOMMU, and of the host's driver."""
        return {"frames refused": self.nic.card.dropped["spoofed"], "DMA faults": sum(self.nic.iommu.faults.counts.values()),
                "messages refused": sum(self.nic.driver.refused.values())}


ATTACKS, attack = collection("nic", "passthrough", NicWorld, "messages")


def any_source(world: NicWorld) -> AbstractContextManager:
    """The card sends whatever a function has."""
    return without(Pools, "spoofs", lambda self, pool, data: False)


@attack("vf-in-the-neighbours-name", "Send from one's own function with the neighbour's address", "a function sends from its own address",
        f"{SHEET}, 7.8.3 (anti-spoofing), 8.10 (DTXSWC)", "the card drops frames whose source is not the function's", any_source,
        REJECT, FAIL, wall="source check", door="device's DMA")
def in_its_name(world: NicWorld, cpu: VCpu) -> Steps:
    bar = yield from world.function(cpu)
    world.send(cpu, bar, frame(SERVER, NEIGHBOUR, FORGED.ljust(46, b"\0")))
    yield from cpu.hlt(1_000_000)


def first_one_first(world: NicWorld) -> AbstractContextManager:
    """After each message the driver begins anew with the first mailbox."""
    def work(self: Igb, _event: Event) -> None:
        self._coming = False
        self.read(r.ICR)
        asked = self.read(r.MBVFICR)
        self.write(r.MBVFICR, asked & ~0xFF)
        for n, vf in enumerate(self.vfs):
            if asked >> n & 1:
                self.write(r.MBVFICR, 1 << n)
                self._message(n, vf)
                break
        if self.read(r.MBVFICR) & 0xFF:
            self.interrupt()
        self.write(r.EIMS, 1)
    return without(Igb, "_work", work)


@attack("vf-floods-the-mailbox", "Message after message to the host's driver", "one function's messages don't keep another's waiting",
        "Linux drivers/net/ethernet/intel/igb/igb_main.c (igb_msg_task: all mailboxes, one message of each)",
        "all mailboxes are looked at in one turn", first_one_first, PASS, WEDGED, wall="mailboxes in turn", long=True)
def flood(world: NicWorld, cpu: VCpu) -> Steps:
    bar = yield from world.function(cpu)
    until = cpu.now + 800_000
    cpu.store(bar + r.MAIL, 4, LONGEST)
    cpu.store(bar + r.MAIL + 4, 4, 1522)
    while world.taken is None and cpu.now < until:
        cpu.store(bar + r.V2P, 4, r.REQUEST)
        cpu.compute(200)                # less than a turn of the host takes
        yield from cpu.pay()


@contextmanager
def until_it_is_ours(world: NicWorld) -> Iterator[None]:
    """The driver waits for the buffer as long as it takes."""
    dog = Watchdog()

    def message(self: Igb, n: int, vf: Any) -> None:
        while not self.read(r.P2V + 4 * n) & r.PF_USES:
            dog.tick()
            self.write(r.P2V + 4 * n, r.PF_USES)
        real(self, n, vf)
    with without(Igb, "_message", message) as real:
        yield


@attack("vf-holds-the-mailbox", "Take the mailbox's buffer, and never give it back", "who waits for a guest goes on without it",
        "Linux drivers/net/ethernet/intel/igb/e1000_mbx.c (igb_obtain_mbx_lock_pf)", "the driver doesn't wait for the buffer",
        until_it_is_ours, PASS, WEDGED, wall="no wait for a guest", long=True)
def hold(world: NicWorld, cpu: VCpu) -> Steps:
    bar = yield from world.function(cpu)
    for _ in range(10):
        cpu.store(bar + r.V2P, 4, r.VF_USES | r.REQUEST)
        yield from cpu.hlt(50_000)
