"""Floods: nothing in them is wrong but their number."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from simpy.events import Event

from vmio.attacks.assigned import AssignedWorld
from vmio.attacks.catalogue import collection
from vmio.attacks.defence import without
from vmio.attacks.split import SplitWorld
from vmio.attacks.talker import read10, request
from vmio.attacks.verdict import PASS, REJECT, WEDGED
from vmio.attacks.world import BUFFER, World
from vmio.drivers.nvme import page_list
from vmio.host.scheduler import Fifo
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.hyperv import hypercalls, tlfs
from vmio.hypervisor.vcpu import VCpu
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.host_channel import HostChannel
from vmio.vmbus.bus.ring import RingFull

SLICES = "Linux Documentation/scheduler/sched-eevdf.rst"
ATTACKS, attack = collection("floods", "split", SplitWorld, "rings")


@attack("flood-of-messages", "Post messages faster than the host reads them", "a port has a bounded number of buffers",
        "TLFS, \"Ports\" and HvCallPostMessage", "HV_STATUS_INSUFFICIENT_BUFFERS",
        lambda world: without(hypercalls, "PORT_BUFFERS", 1 << 60), REJECT, WEDGED, wall="port's buffers", door="messages")
def messages(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu, ready=False)
    data = m.RELID_RELEASED.pack(relid=2000)
    cpu.write(talker.client._input, tlfs.POST_INPUT.pack(connection_id=1, message_type=1, size=len(data), payload=data))
    for _ in range(3000):
        if cpu.hypercall(tlfs.POST_MESSAGE, talker.client._input):
            world.told("insufficient buffers")
    world.sample()
    yield from cpu.pay()


@contextmanager
def every_signal_works(world: World) -> Iterator[None]:
    """Each signal of a guest makes a worker of the host's run."""
    def signalled(self: HostChannel, when: int) -> None:
        host = self.server.guest.host

        def run(_: Event) -> None:
            host.env.process(host.cores.work(host.costs.worker_wakeup_ns))
        host.at(when, run)
        real(self, when)
    with without(HostChannel, "_signalled", signalled) as real:
        yield


@attack("flood-of-signals", "Ring the doorbell all the time", "signals that nobody has noticed yet are one signal",
        "TLFS, HvCallSignalEvent: event flags", "a pending signal swallows the next", every_signal_works, PASS, WEDGED,
        wall="pending signal", long=True)
def signals(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    for _ in range(500):
        for _ in range(40):
            talker.channel.signal()
        yield from cpu.pay()


@contextmanager
def first_come(world: SplitWorld) -> Iterator[None]:
    """The host's disk serves who comes first."""
    world.physical.layer.set_scheduler(Fifo())
    yield


@attack("flood-of-requests", "Fill the disk's queue with large requests", "a device is shared by its guests' shares",
        "M. Shreedhar, G. Varghese, \"Efficient Fair Queuing using Deficit Round Robin\", 1995", "deficit round robin, not FIFO",
        first_come, PASS, WEDGED, wall="fair queue", long=True)
def requests(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu, pages=16)
    payload, ranges = request(read10(0, 256), 256 * 512)
    while world.taken is None and cpu.now < 100_000_000:
        try:
            talker.send(payload, ranges)
        except RingFull:
            yield from cpu.hlt(100_000)


def first_come_first_served(world: AssignedWorld) -> AbstractContextManager:
    """The disk's controller takes from its functions whatever they have."""
    return without(world.arbiter, "window", {"read": 1 << 60, "write": 1 << 60})


@attack("flood-of-commands", "Fill the queue of one's own virtual function with large commands",
        "functions of one device share its medium", "NVMe 1.4, \"Command Arbitration\"; between functions the vendor's choice",
        "the controller serves its functions in turn, so many sectors each", first_come_first_served, PASS, WEDGED,
        mode="passthrough", world=AssignedWorld, wall="controller's turns", door="device's DMA", long=True)
def commands(world: AssignedWorld, cpu: VCpu) -> Steps:
    driver = yield from world.drive(cpu, entries=64)
    pages = page_list(driver.address(BUFFER), 256 * 512)
    while world.taken is None and cpu.now < 100_000_000:
        while driver.submit("read", 0, 256, pages, "flood"):
            pass
        driver.ring_doorbell()
        yield from cpu.hlt(20_000)
        driver.reap()


class EveryCore(SplitWorld):
    """The attacker has as many processors as the host."""

    vcpus = 2


@attack("flood-of-work", "Compute on every core, and never pause", "a core is shared by who wants to run", SLICES,
        "a core is given away at the end of a slice", lambda world: without(world.host.cores, "slice_ns", 1 << 60),
        PASS, WEDGED, world=EveryCore, wall="time slice", door="processor time")
def work(world: EveryCore, cpu: VCpu) -> Steps:
    yield from world.begin(cpu)

    def compute(cpu: VCpu) -> Steps[None]:
        cpu.compute(max(world.host.env.now - cpu.now, 0) + 50_000_000)
        yield from cpu.pay()
    world.host.env.process(compute(world.attacker.vcpus[1]))
    yield from compute(cpu)
