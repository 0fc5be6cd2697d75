"""Nothing stays under way that isn't: counts that errors pass by, from one ticket to a whole guest's life."""

import struct

import pytest
import simpy

from tests.storage_rig import Rig, read10, srb, write10
from vmio.attacks.split import SplitWorld
from vmio.drivers.nvme import NvmeDriver, memory_needed
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.hardware.nvme.controller import BAR_BYTES, NvmeController
from vmio.host.block import NOT_READY, DeviceAway
from vmio.host.physical import PhysicalDisk
from vmio.hypervisor.cores import Cores
from vmio.hypervisor.hostcpu import HostCpu
from vmio.hypervisor.inflight import InFlight
from vmio.machine.bus import Bus
from vmio.machine.clock import Clock
from vmio.machine.storage import Image
from vmio.modes import Machine
from vmio.vmbus.bus.packets import DESCRIPTOR, GPA_DIRECT
from vmio.vmbus.bus.ring import WRITE
from vmio.vmbus.storage import vstor as v


def test_a_request_ends_once_and_the_last_one_tells():
    env = simpy.Environment()
    flight = InFlight(env)
    assert flight.drained() is None and len(flight) == 0
    flight.begin("one"), flight.begin("two")
    event = flight.drained()
    assert event is flight.drained() and list(flight) == ["one", "two"]
    assert flight.ended("one") and not flight.ended("one") and len(flight) == 1 and not event.triggered
    assert flight.ended("two") and event.triggered and len(flight) == 0 and flight.drained() is None
    flight.begin("three")
    assert flight.drained() is not event and flight.ended("three")     # a newer wait, a newer event


def _shortest_gpa_direct(talker):
    """A GPA-direct record that names 9 ranges in the room for none."""
    talker.raw(DESCRIPTOR.pack(type=GPA_DIRECT, offset8=3, length8=11, flags=1, transaction_id=5)
               + bytes(4) + (9).to_bytes(4, "little") + bytes(64 + 8))
    talker.out.store32(WRITE, talker.out.load32(WRITE) + 96)
    talker.channel.signal()


BAD = {
    "an unknown operation": lambda t: t.send(v.PACKET.pack(operation=0x63, flags=1)),
    "operation 0": lambda t: t.send(bytes(64)),
    "no completion asked": lambda t: t.end.send(v.PACKET.pack(operation=v.EXECUTE_SRB), 5),
    "a completion": lambda t: t.end.send_completion(bytes(64), 5),
    "a short one": lambda t: t.end.send(bytes(40), 5, want_completion=True),
    "GPA-direct nonsense": _shortest_gpa_direct,
    "behind twenty good ones": lambda t: ([t.send(*srb(read10(0, 128), 128 * 512, gpa=0x28_0000)) for _ in range(20)],
                                          t.send(v.PACKET.pack(operation=0x63, flags=1))),
}


@pytest.mark.parametrize("name", BAD)
def test_after_a_bad_record_and_a_reset_everything_works_again(name):
    world, seen = SplitWorld(), []

    def attacker(cpu):
        talker = yield from world.talk(cpu, pages=16)
        BAD[name](talker)
        yield from talker.wait(10_000_000)
        assert (world.vsp.corrupt, world.vsp.in_flight) == (1, 0)
        world.attacker.enlightened.reset()
        yield from talker.wait(1_000_000)
        client = VmBusClient(cpu, GuestPages(0x10_0000, 0x20_0000))
        yield from client.connect()
        channel, = yield from client.request_offers()
        talker.client, talker.channel = client, channel
        talker.end = yield from client.open(channel, pages=4, on_signal=talker._look)
        answer = yield from talker.ask(v.PACKET.pack(operation=v.BEGIN_INITIALIZATION, flags=1))
        seen.append(v.PACKET.parse(answer).status)
        world.attacker.enlightened.reset()
        yield from talker.wait(1_000_000)
        world.attacker.destroy()
        seen.append("destroyed")

    def honest(cpu):
        world.disk = yield from world.bring_up(cpu)
        world.up = True
    world.host.run((world.neighbour.cpu, honest), (world.attacker.cpu, attacker), limit_ns=10**9)
    assert seen == [0, "destroyed"]


def test_what_the_backend_does_not_take_has_failed():
    for error in (ValueError("2,049 sectors"), DeviceAway("the disk is somebody else's")):
        rig = Rig().ready()
        rig.backend.submit = lambda *_: (_ for _ in ()).throw(error)
        answer = rig.srb(read10(0, 8), 4096)
        assert (answer.srb_status, answer.status, answer.cdb[:3]) == (0x84, v.IO_DEVICE_ERROR, b"\xf0\x00\x03")
        assert rig.vsp.in_flight == rig.vsp.worker.in_flight == 0 and rig.vsp.closed() is None


def test_nor_has_the_flush_behind_a_write():
    rig = Rig(hold=True).ready()
    rig.end.send(*srb_of(write10(0, 8, fua=True)), want_completion=True, ranges=((4096, 0, (16,)),))
    rig.run()
    rig.backend.submit = lambda *_: (_ for _ in ()).throw(DeviceAway("gone meanwhile"))
    rig.backend.release()
    packet, = rig.run()
    assert v.SRB.parse(packet.payload).srb_status == 0x84 and rig.vsp.in_flight == rig.vsp.worker.in_flight == 0


def srb_of(cdb):
    return srb(cdb, 4096, v.TO_DEVICE)[0], 7


def test_a_backend_that_answers_twice_is_heard_once():
    rig = Rig(hold=True).ready()
    payload, ranges = srb(read10(0, 8), 4096)
    rig.end.send(payload, 7, want_completion=True, ranges=ranges)
    rig.run()
    done = rig.backend.held[0][-1]
    rig.backend.release()
    done(0)
    assert len(rig.run()) == 1 and rig.vsp.worker.in_flight == 0


def test_a_slice_forgets_what_the_layer_refused():
    host = Machine(memory_mib=16).host
    part = PhysicalDisk(host, [Image.open(bytes(1 << 20))]).slices[0]
    with pytest.raises(ValueError, match="at most 513 pages"):
        part.submit("guest", "read", 0, 8, [0] * 514, None)
    assert part.in_flight == 0 and part.remove() is None
    layer = part.layer
    with pytest.raises(ValueError, match="below 2"):
        layer.submit("guest", "read", 1 << 64, 8, [0], None)
    assert layer.in_flight == 0 and not any(service.outstanding for service in layer.services.values())


def test_a_request_that_cannot_be_built_takes_no_place():
    host = Machine(memory_mib=16).host
    driver = PhysicalDisk(host, [Image.open(bytes(1 << 20))], entries=4).driver
    free = list(driver.pairs[0].free)
    with pytest.raises(struct.error):
        driver.submit("read", -1, 8, [0], "tag")
    assert driver.pairs[0].free == free and driver.submitted == 0 and set(driver.pairs[0].tags) == {None}


def test_who_leaves_the_line_takes_no_core_along():
    env = simpy.Environment()
    cores, log = Cores(env, 1, 1000), []

    def spends(name, ns):
        yield from cores.spend(ns)
        log.append((name, env.now))
    env.process(spends("first", 2500))
    env.process(spends("third", 300))
    env.run(until=100)
    waiting, last = cores.spend(700), cores.spend(700)
    next(waiting), next(last)
    env.run(until=500)
    waiting.close()                        # its guest was ended
    env.run(until=1900)
    last.close()                           # it has been handed the core meanwhile
    env.run()
    assert log == [("third", 1300), ("first", 3400)] and cores._free == 1 and not cores._line


def test_a_controller_goes_on_after_a_command_that_broke_it():
    host = Machine(memory_mib=8).host
    bus = Bus("host MMIO", 1 << 48)
    controller = NvmeController(Clock(0), host.memory, Image.open(bytes(1 << 20)), lambda vector: None, None)
    bus.attach(1 << 40, BAR_BYTES, controller, "nvme", width=4)
    size = memory_needed(8)
    driver = NvmeDriver(HostCpu(host, bus), 1 << 40, host.memory.allocate(size // 4096), size, 8)
    host.env.run(until=host.env.process(driver.init()))
    real, controller.nvm.start = controller.nvm.start, lambda request: 1 // 0
    driver.submit("read", 0, 8, [0], "broken")
    with pytest.raises(ZeroDivisionError):
        driver.ring_doorbell()
    controller.nvm.start = real
    driver.submit("read", 0, 8, [0], "good")
    driver.ring_doorbell()
    assert driver.reap() == [("good", 0)]


def test_a_layer_that_is_away_is_an_error_of_the_guests_disk():
    host = Machine(memory_mib=16).host
    disk = PhysicalDisk(host, [Image.open(bytes(1 << 20))])
    disk.layer.close("lent")
    heard = []
    disk.slices[0].submit("guest", "read", 0, 8, [0], heard.append)
    host.env.run()
    assert heard == [NOT_READY] and disk.slices[0].in_flight == 0
