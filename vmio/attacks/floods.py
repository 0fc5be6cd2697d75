"""Floods: nothing in them is wrong but their number."""

from contextlib import contextmanager

from vmio.attacks.catalogue import collection
from vmio.attacks.defence import without
from vmio.attacks.split import SplitWorld
from vmio.attacks.talker import read10, request
from vmio.attacks.verdict import PASS, REJECT, WEDGED
from vmio.hypervisor.scheduler import Fifo
from vmio.vmbus import hypercalls, tlfs
from vmio.vmbus import messages as m
from vmio.vmbus.host_channel import HostChannel
from vmio.vmbus.ring import RingFull

ATTACKS, attack = collection("floods", "split", SplitWorld)


@attack("flood-of-messages", "Post messages faster than the host reads them", "a port has a bounded number of buffers",
        "TLFS, \"Ports\" and HvCallPostMessage", "HV_STATUS_INSUFFICIENT_BUFFERS",
        lambda world: without(hypercalls, "PORT_BUFFERS", 1 << 60), REJECT, WEDGED)
def messages(world, cpu):
    talker = yield from world.talk(cpu, ready=False)
    data = m.RELID_RELEASED.pack(relid=2000)
    cpu.write(talker.client._input, tlfs.POST_INPUT.pack(connection_id=1, message_type=1, size=len(data), payload=data))
    for _ in range(3000):
        if cpu.hypercall(tlfs.POST_MESSAGE, talker.client._input):
            world.told("insufficient buffers")
    world.sample()
    yield from cpu.pay()


@contextmanager
def every_signal_works(world):
    """Each signal of a guest makes a worker of the host's run."""
    def signalled(self, when):
        host = self.server.guest.host
        self.server.at(when, lambda _: host.env.process(host.work(host.costs.worker_wakeup_ns)))
        real(self, when)
    with without(HostChannel, "_signalled", signalled) as real:
        yield


@attack("flood-of-signals", "Ring the doorbell all the time", "signals that nobody has noticed yet are one signal",
        "TLFS, HvCallSignalEvent: event flags", "a pending signal swallows the next", every_signal_works, PASS, WEDGED)
def signals(world, cpu):
    talker = yield from world.talk(cpu)
    for _ in range(500):
        for _ in range(40):
            talker.channel.signal()
        yield from cpu.pay()


@contextmanager
def first_come(world):
    """The host's disk serves who comes first."""
    world.physical.layer.set_scheduler(Fifo())
    yield


@attack("flood-of-requests", "Fill the disk's queue with large requests", "a device is shared by its guests' shares",
        "M. Shreedhar, G. Varghese, \"Efficient Fair Queuing using Deficit Round Robin\", 1995", "deficit round robin, not FIFO",
        first_come, PASS, WEDGED)
def requests(world, cpu):
    talker = yield from world.talk(cpu, pages=16)
    payload, ranges = request(read10(0, 256), 256 * 512)
    while world.taken is None and cpu.now < 100_000_000:
        try:
            talker.send(payload, ranges)
        except RingFull:
            yield from cpu.hlt(100_000)
