"""StorVSC with a host that lies, dies, takes the disk away, or does not know what it asks for."""

import pytest

from tests.storvsc_rig import DATA, LIMIT, Machine, bring_up
from vmio.drivers.errors import DriverError
from vmio.drivers.scsi_probe import ScsiError
from vmio.drivers.vmbus import Rescinded
from vmio.experiments.disk import pattern
from vmio.vmbus.bus.host_channel import State
from vmio.vmbus.storage import vstor as v


def test_a_failing_disk():
    machine = Machine(fake=True)

    def program(cpu, disk):
        machine.backends[0].status = 5
        with pytest.raises(ScsiError, match="3/11/00"):
            yield from disk.read(0, 8, DATA)
        with pytest.raises(ScsiError, match="3/0C/00"):
            yield from disk.write(0, 8, DATA)
        with pytest.raises(ScsiError, match="4/44/00"):
            yield from disk.flush()
        machine.backends[0].status = 0
        yield from disk.read(0, 2048, DATA)
        return cpu.read(DATA, 512)

    assert machine.run(program) == [pattern(4).read(0)]


def test_a_guest_dies_with_requests_in_flight():
    """Its requests come back before its memory goes to somebody else; its neighbour reads on."""
    machine = Machine(guests=2)
    victim, neighbour = machine.guests
    host = machine.host

    def dying(cpu, disk):
        yield from cpu.pay()
        for n in range(32):
            disk.submit("read", n * 8, 8, DATA + n * 4096, n)
        disk.flush_ring()
        yield from cpu.hlt(30_000)               # the VSP has taken them, the disk has not answered
        return machine.vsps[0].in_flight

    def steady(cpu, disk):
        data = b""
        for n in range(64):
            yield from disk.read(n * 8, 8, DATA)
            data += cpu.read(DATA, 4096)
        return data

    def end(cpu):
        disk = yield from bring_up(cpu)
        in_flight = yield from dying(cpu, disk)
        assert in_flight == 32
        with pytest.raises(RuntimeError, match="32 requests"):
            victim.destroy()
        victim.enlightened.reset()
        while machine.vsps[0].in_flight or machine.vsps[0].channel.state is not State.OFFERED:
            yield host.env.timeout(1000)
        victim.destroy()

    def whole(cpu):
        disk = yield from bring_up(cpu)
        return (yield from steady(cpu, disk))

    _, data = host.run((victim.cpu, end), (neighbour.cpu, whole), limit_ns=LIMIT)
    assert data == machine.images[1].read(0, 512)
    assert machine.disk.layer.in_flight == 0
    assert machine.disk.layer.service(victim.name).requests == 32
    fresh = host.guest(ram_mib=10)               # gets the victim's pages: nothing was left or came late
    assert fresh.memory.read(DATA, 32 * 4096) == bytes(32 * 4096)


def test_the_disk_is_taken_away():
    machine = Machine(fake="hold")

    def program(cpu):
        machine.backends[0].hold = False
        disk = yield from bring_up(cpu)
        machine.backends[0].hold = True
        disk.submit("read", 0, 8, DATA, 1)
        disk.flush_ring()
        yield from cpu.hlt(50_000)
        machine.servers[0].rescind(machine.vsps[0].channel)
        yield from disk.wait()
        (tag, error), = disk.reap()
        assert tag == 1 and isinstance(error, Rescinded) and not disk.in_flight
        with pytest.raises(Rescinded):
            yield from disk.wait()
        with pytest.raises(Rescinded):
            disk.submit("read", 0, 8, DATA, 2)
        machine.backends[0].release()
        yield from disk.client.release(disk.channel)
        yield from cpu.hlt(100_000)
        return dict(machine.servers[0].channels)

    assert machine.host.run((machine.guests[0].cpu, program), limit_ns=LIMIT) == [{}]


def test_a_corrupt_ring_stops_this_channel_and_no_other():
    machine = Machine(guests=2)

    def hostile(cpu, disk):
        disk.end.outgoing.memory.store32(0, 0xFFFFFFF8)
        disk.channel.signal()
        yield from cpu.hlt(1_000_000)
        return machine.vsps[0].channel.state

    def good(cpu, disk):
        yield from cpu.hlt(2_000_000)
        yield from disk.read(5, 8, DATA)
        return cpu.read(DATA, 4096)

    assert machine.run(hostile, good) == [State.FAILED, machine.images[1].read(5, 8)]


def test_a_host_that_lies():
    """Answers to nothing are counted; a corrupt ring is the end of the disk, not of the guest."""
    machine = Machine()

    def program(cpu, disk):
        end = machine.vsps[0].worker.end
        for number in (0, 1, 99, v.RESET_ID, v.INIT_ID):
            end.send_completion(v.SRB.pack(operation=v.COMPLETE_IO, srb_status=1), number)
        end.send_completion(bytes(8), 1)
        end.send(v.PACKET.pack(operation=v.ENUMERATE_BUS))
        end.send(v.PACKET.pack(operation=99))
        yield from cpu.hlt(100_000)
        assert disk.bus_changed and disk.unknown == 7
        yield from disk.read(5, 8, DATA)
        end.outgoing.memory.store32(0, 4)
        end.signal()
        with pytest.raises(DriverError, match="index"):
            yield from disk.read(5, 8, DATA)
        return "alive"

    assert machine.run(program) == ["alive"]


@pytest.mark.parametrize("ring_kib, count", ((8, 60), (128, 1)))
def test_a_host_that_lies_about_what_it_has_read(ring_kib, count):
    machine = Machine()

    def program(cpu, disk):
        yield from cpu.pay()
        machine.vsps[0].worker.stop()
        disk.end.outgoing.memory.store32(4, 0x7777)
        with pytest.raises(DriverError, match="read index"):
            for n in range(count):
                disk.submit("read", 0, 8, DATA, n)
            disk.flush_ring()
        with pytest.raises(DriverError, match="read index"):
            disk.submit("read", 0, 8, DATA, 0)
        return "alive"

    assert machine.run(program, ring_kib=ring_kib) == ["alive"]


def test_a_short_answer_is_an_error():
    machine = Machine(fake="hold")
    machine.backends[0].hold = False

    def program(cpu, disk):
        machine.backends[0].hold = True
        disk.submit("read", 0, 8, DATA, "short")
        disk.flush_ring()
        yield from cpu.hlt(50_000)
        *_, done = machine.backends[0].held[0]
        done.__self__.request.complete(v.SRB.pack(operation=v.COMPLETE_IO, srb_status=1, transfer_length=512),
                                       next(iter(disk._sent)))
        yield from disk.wait()
        return disk.reap()

    ((tag, error),), = machine.run(program)
    assert tag == "short" and "512 of 4096 bytes" in str(error)


def test_no_version_in_common():
    machine = Machine(versions=(0x0700,))
    with pytest.raises(DriverError, match="no protocol version"):
        machine.run(lambda cpu, disk: None)


def test_no_disk_at_that_lun():
    machine = Machine()
    with pytest.raises(DriverError, match="no disk at that LUN"):
        machine.run(lambda cpu, disk: None, lun=3)
