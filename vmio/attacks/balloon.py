"""Attacks with a balloon: pages that are kept, that were never there, that come twice, that the host still uses."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from vmio.attacks.catalogue import collection
from vmio.attacks.defence import without
from vmio.attacks.verdict import FAIL, REJECT, WEDGED
from vmio.attacks.world import CANARY, HEIR, World, pages_of
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.given import GivenPages
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import PageTable
from vmio.vmbus.balloon import wire as w
from vmio.vmbus.balloon.dynamic import DynamicMemory
from vmio.vmbus.bus.server import VmbusServer

SOURCE = "Linux drivers/hv/hv_balloon.c (balloon_up): what a guest gives it does not touch until it has it back"
GIVEN, REST = 0x200, 2_000_000      # the page that is given; ns that the host has to take it


class BalloonWorld(World):
    """The host asks for 2 MiB as soon as the attacker's driver is up, and a new guest gets what comes."""

    capabilities = w.BALLOONS

    def __init__(self, cores: int = 2) -> None:
        super().__init__(cores)
        enable_enlightenments(self.attacker)
        self.balloon = DynamicMemory(self.host, self.attacker)
        self.balloon.offer(VmbusServer(self.attacker))
        self.heir: Guest | None = None

    def counters(self) -> dict[str, int]:
        return {"balloon's channel ended": self.balloon.corrupt}

    def start(self, cpu: VCpu) -> Steps[None]:
        """Bring the attacker's driver up; the host asks it for 512 pages."""
        client = VmBusClient(cpu, GuestPages(0x10_0000, 0x18_0000))
        yield from client.connect()
        channel, = yield from client.request_offers()
        self.end = yield from client.open(channel, pages=w.RING_PAGES, on_signal=lambda cpu: list(self.end.packets()))
        for message in (w.VERSION_REQUEST.pack(version=w.V2_0), w.CAPABILITIES.pack(capabilities=self.capabilities)):
            yield from self.say(cpu, message)
        self.ask()
        yield from cpu.hlt(REST)

    def ask(self) -> None:
        """The host wants 2 MiB, if nothing is under way."""
        if self.balloon.state == "ready" and self.balloon.asked is None:
            self.balloon.inflate(w.LARGE)

    def give(self, cpu: VCpu, *ranges: tuple[int, int]) -> Steps[None]:
        """Say that these pages are the host's now; a new guest begins in what came free."""
        yield from self.say(cpu, w.with_ranges(w.BALLOON_RESPONSE, ranges, counts=len(ranges) << 1))
        if self.heir is None and self.balloon.ballooned.total >= 1:
            self.heir = self.host.guest("heir", 1)
            _, spa, length = self.heir.backing.runs()[0]
            self.watch("next guest's RAM", spa, pages_of(HEIR, length))

    def say(self, cpu: VCpu, message: bytes) -> Steps[None]:
        """Send a message, and wait for what the host does."""
        yield from cpu.pay()
        self.end.send(message)
        until = cpu.now + REST
        while cpu.now < until:
            yield from cpu.hlt(until - cpu.now)


ATTACKS, attack = collection("balloon", "split", BalloonWorld, "rings")


@contextmanager
def believed(world: BalloonWorld) -> Iterator[None]:
    """What is given is taken unseen, at the place where the guest's first page lies and as many pages behind it."""
    base = world.attacker.ram_spa(0)

    def unmap(self: GivenPages, first: int, count: int) -> None:
        world.host.memory.free(base + first * PAGE, count)
    with without(GivenPages, "check", lambda self, ranges: 0), without(GivenPages, "unmap", unmap):
        yield


def still_mapped(world: BalloonWorld) -> AbstractContextManager:
    """The host takes the page, and leaves it in the guest's table."""
    return without(PageTable, "unmap", lambda self, address, length: None)


@attack("balloon-page-kept", "Write to a page that it gave away", "a page that the host has is in no guest's table", SOURCE,
        "what is given leaves the second-level table", still_mapped, REJECT, FAIL, wall="SLAT")
def keep(world: BalloonWorld, cpu: VCpu) -> Steps:
    yield from world.start(cpu)
    yield from world.begin(cpu)
    yield from world.give(cpu, (GIVEN, 512))
    cpu.write((GIVEN + 16) * PAGE, b"still mine")


@attack("balloon-page-of-another", "Give away a page of the neighbour's", "a guest gives what it has", SOURCE,
        "each page given is looked up in the guest's own RAM", believed, REJECT, FAIL, wall="whose pages")
def of_another(world: BalloonWorld, cpu: VCpu) -> Steps:
    foreign = (world.neighbour.ram_spa(CANARY) - world.attacker.ram_spa(0)) // PAGE
    yield from world.start(cpu)
    yield from world.begin(cpu)
    yield from world.give(cpu, (foreign, 1))


@attack("balloon-page-twice", "Give the same page a second time", "a page that was given is somebody else's by now", SOURCE,
        "each page given is looked up in the guest's own RAM", believed, REJECT, WEDGED, wall="given once")
def twice(world: BalloonWorld, cpu: VCpu) -> Steps:
    yield from world.start(cpu)
    yield from world.begin(cpu)
    yield from world.give(cpu, (GIVEN, 512))
    world.ask()
    yield from world.give(cpu, (GIVEN, 512))


@attack("balloon-page-in-use", "Give away the page of a ring", "what the host uses by its place stays where it is", SOURCE,
        "pages that are lent to the host can't be given", lambda world: without(Guest, "used_pages", lambda self: set()), REJECT, WEDGED,
        wall="lent pages")
def in_use(world: BalloonWorld, cpu: VCpu) -> Steps:
    yield from world.start(cpu)
    yield from world.begin(cpu)
    yield from world.give(cpu, (0x100, 256))       # all that its driver has: the rings, too
    yield from world.say(cpu, w.STATUS_REPORT.pack(available=1, committed=1))

