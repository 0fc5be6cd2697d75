"""Attacks on the host's balancer: a guest that lies about the memory it needs, and one that never answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from vmio.attacks.balloon import BalloonWorld
from vmio.attacks.catalogue import collection
from vmio.attacks.defence import without
from vmio.attacks.verdict import PASS, WEDGED
from vmio.drivers.balloon import CAPABILITIES
from vmio.drivers.pages import GuestPages
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.manage.memory import MIB_PAGES, MOST_MIB, Balancer, Limits
from vmio.modes.memory_split import SplitMemory
from vmio.vmbus.balloon import wire as w

LIMITS = Limits(startup=32, minimum=32, maximum=64)     # MiB, of each guest
EVERYTHING = (1 << 64) - 1                              # pages: the most that fits into a report
STEP, COMES = 200_000, 6_000_000                        # ns between two steps of the balancer; until the neighbour comes
HEAP = 0x20_0000                                        # guest-physical: from here on the neighbour's memory is for programs
PROMISED = 8 * MIB_PAGES                                # pages: what its programs want, more than there are at first


class BalancedWorld(BalloonWorld):
    """The host balances memory between the attacker and whoever else has a driver for it."""

    host_mib = 128
    capabilities = CAPABILITIES

    def __init__(self, cores: int = 2) -> None:
        super().__init__(cores)
        self.balancer = Balancer(self.host)
        self.member = self.balancer.add("attacker", self.balloon, LIMITS)
        self.host.at(STEP, lambda _: self.balance())

    def balance(self) -> None:
        """One step, and the next one later, as long as the neighbour is at work or the attack goes on."""
        self.balancer.step()
        if self.taken is None or not self.over:
            self.host.at(self.host.env.now + STEP, lambda _: self.balance())

    def ask(self) -> None:
        """The balancer asks."""

    def held(self) -> dict[str, tuple[int, int]]:
        return {"MiB of RAM": (self.balloon.assigned // MIB_PAGES, LIMITS.maximum)}

    def added(self, cpu: VCpu) -> Steps[None]:
        """Say that the memory which the host has offered is in use; without an offer, nothing."""
        if self.balloon.asked is w.Message.HOT_ADD:
            yield from self.say(cpu, w.HOT_ADD_RESPONSE.pack(pages=self.balloon.wanted, result=w.ADDED))


class WaitingWorld(BalancedWorld):
    """The neighbour's programs wait for memory: it has less than its minimum, and comes when the attacker has been asked for something."""

    def __init__(self, cores: int = 2) -> None:
        super().__init__(cores)
        self.theirs_memory = SplitMemory(heap_at=HEAP)
        self.theirs_memory.plug(self.machine.guests[1].platform)
        self.balancer.add("neighbour", self.theirs_memory.memory, LIMITS)

    def bring_up(self, cpu: VCpu) -> Steps[None]:
        yield from cpu.hlt(COMES)
        self.driver = yield from self.theirs_memory.boot(cpu, GuestPages(0x10_0000, 0x18_0000))
        self.driver.heap.promise(PROMISED)

    def _requests(self, cpu: VCpu, number: int) -> Steps[None]:
        while self.driver.heap.missing:
            yield from self.driver.serve(cpu.now + STEP)
        yield from super()._requests(cpu, number)


ATTACKS, attack = collection("balancer", "split", BalancedWorld, "rings")


@contextmanager
def no_maximum(world: BalancedWorld) -> Iterator[None]:
    """Nobody has said how much a guest may have at most."""
    world.member.limits = replace(world.member.limits, maximum=MOST_MIB)
    yield


@attack("balancer-lie", "Report a need for all the memory in the world", "a guest gets its maximum at the most, whatever it says that it needs",
        "Microsoft, \"Hyper-V Dynamic Memory Overview\" (maximum RAM)", "what a guest says is cut off at its maximum", no_maximum, PASS, WEDGED, wall="its maximum")
def lie(world: BalancedWorld, cpu: VCpu) -> Steps:
    yield from world.start(cpu)
    yield from world.begin(cpu)
    yield from world.say(cpu, w.STATUS_REPORT.pack(committed=EVERYTHING))
    for _ in range(8):
        yield from world.added(cpu)
        yield from cpu.hlt(STEP)


@contextmanager
def one_after_the_other(world: BalancedWorld) -> Iterator[None]:
    """The host asks nobody for anything as long as somebody owes it an answer."""
    def step(self: Balancer) -> None:
        if not self.owing():
            real(self)
    with without(Balancer, "step", step) as real:
        yield


@attack("balancer-silence", "Be asked to take memory, and never answer", "who does not answer keeps what it has, and the others share the rest",
        "Linux drivers/hv/hv_balloon.c (hot_add_req: no answer until it can succeed)", "nobody waits for another guest's answer", one_after_the_other, PASS, WEDGED,
        world=WaitingWorld, wall="no waiting", long=True)
def silence(world: WaitingWorld, cpu: VCpu) -> Steps:
    yield from world.start(cpu)
    yield from world.begin(cpu)
    yield from cpu.hlt(4 * COMES)
