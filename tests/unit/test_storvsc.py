"""The disk end to end: a guest's driver, the bus, the VSP, the host's NVMe disk; and everything that can go wrong on the way."""

import pytest

from tests.storage_rig import Backend
from vmio.drivers.errors import DriverError
from vmio.drivers.pages import GuestPages
from vmio.drivers.storvsc import ScsiError, StorVsc
from vmio.drivers.vmbus import Rescinded, VmBusClient
from vmio.experiments.disk import pattern
from vmio.host.physical import PhysicalDisk
from vmio.hypervisor.host import Host
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.machine.overlay import Overlay
from vmio.vmbus.bus.host_channel import State
from vmio.vmbus.bus.server import VmbusServer
from vmio.vmbus.storage import vstor as v
from vmio.vmbus.storage.scsi import ScsiTarget
from vmio.vmbus.storage.storvsp import StorVsp

LIMIT = 60 * 10**9
DATA = 0x60_0000


class Machine:
    """Guests with a disk each: slices of one NVMe disk, or, with `fake`, a backend of the test's."""

    def __init__(self, guests=1, fake=False, cores=2, **options):
        self.host = Host(memory_mib=64, cores=cores)
        self.images = [Overlay(pattern(4)) for _ in range(guests)]
        if fake:
            backends = [Backend(self.host, image, hold=fake == "hold") for image in self.images]
        else:
            self.disk = PhysicalDisk(self.host, self.images)
            backends = self.disk.slices
        self.backends, self.guests, self.servers, self.vsps = backends, [], [], []
        for image, backend in zip(self.images, backends):
            guest = self.host.guest(ram_mib=10)
            enable_enlightenments(guest)
            server = VmbusServer(guest)
            vsp = StorVsp(self.host, guest, {0: (ScsiTarget(image.sectors), backend)}, **options)
            vsp.offer(server)
            self.guests.append(guest)
            self.servers.append(server)
            self.vsps.append(vsp)

    def run(self, *programs, **options):
        """Run `program(cpu, disk)` in the guests, with the disk up."""
        def started(program):
            def whole(cpu):
                disk = yield from bring_up(cpu, **options)
                return (yield from program(cpu, disk))
            return whole
        return self.host.run(*[(guest.cpu, started(program)) for guest, program in zip(self.guests, programs)],
                             limit_ns=LIMIT)


def bring_up(cpu, **options):
    client = VmBusClient(cpu, GuestPages(0x10_0000, DATA))
    yield from client.connect()
    channel, = yield from client.request_offers()
    disk = StorVsc(client, channel, **options)
    yield from disk.init()
    return disk


def test_probe():
    machine = Machine()

    def program(cpu, disk):
        return disk.identity, disk.version, disk.most_bytes
        yield

    (identity, version, most), = machine.run(program)
    assert (identity.sectors, identity.sector_bytes, identity.luns, identity.write_cache) == (8192, 512, (0,), True)
    assert (identity.vendor, identity.product, identity.revision, identity.serial) == ("Msft", "Virtual Disk", "1.0", "vmio0")
    assert version == v.WIN10 and most == 0x40000


@pytest.mark.parametrize("offset", (0, 512, 4))
@pytest.mark.parametrize("sectors", (1, 7, 8, 9, 513, 2048))
def test_bytes_read_are_the_images(offset, sectors):
    machine = Machine()

    def program(cpu, disk):
        yield from disk.read(11, sectors, DATA + offset)
        return cpu.read(DATA + offset, sectors * 512)

    assert machine.run(program) == [machine.images[0].read(11, sectors)]


@pytest.mark.parametrize("ring_kib", (8, 16, 128))
def test_write_flush_read(ring_kib):
    machine = Machine()
    data = bytes(range(256)) * 4096

    def program(cpu, disk):
        cpu.write(DATA, data)
        yield from disk.write(100, 2048, DATA)
        yield from disk.flush()
        cpu.write(DATA, bytes(1 << 20))
        yield from disk.read(100, 2048, DATA)
        return cpu.read(DATA, 1 << 20) == data

    assert machine.run(program, ring_kib=ring_kib) == [True]
    assert machine.images[0].read(100, 2048) == data


@pytest.mark.parametrize("signals", ("always", "each", "batch"))
@pytest.mark.parametrize("ring_kib, cores", ((8, 1), (128, 2)))
def test_32_in_flight(signals, ring_kib, cores):
    machine = Machine(cores=cores)

    def program(cpu, disk):
        rounds, got = 8, {}
        before = machine.servers[0].channels[1].signals
        for at in range(rounds):
            yield from cpu.pay()
            for n in range(32):
                disk.submit("read", (at * 32 + n) * 8, 8, DATA + n * 4096, n)
            disk.flush_ring()
            over = []
            while len(over) < 32:
                yield from disk.wait()
                over += disk.reap()
            assert sorted(over) == [(n, None) for n in range(32)]
            got[at] = cpu.read(DATA, 32 * 4096)
        assert disk.in_flight == 0 and disk.unknown == 0
        return b"".join(got.values()), machine.servers[0].channels[1].signals - before

    (data, sent), = machine.run(program, ring_kib=ring_kib, signals=signals)
    assert data == machine.images[0].read(0, 2048)
    assert sent >= 256 if signals == "always" else sent < 64


def test_callbacks_and_an_error_among_good_ones():
    machine = Machine()

    def program(cpu, disk):
        got = []
        yield from cpu.pay()
        for lba in (0, 8190, 8):
            disk.submit("read", lba, 8, DATA, lba, lambda *result: got.append(result))
        disk.flush_ring()
        while len(got) < 3:
            yield from cpu.hlt()
        return got

    got = dict(machine.run(program)[0])
    assert got[0] is None and got[8] is None
    assert got[8190].sense == (5, 0x21, 0) and "5/21/00" in str(got[8190])


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


@pytest.mark.parametrize("cores", (1, 3))
def test_guests_share_the_disk_and_each_is_accounted(cores):
    machine = Machine(guests=3, cores=cores)

    def program(cpu, disk):
        cpu.write(DATA, bytes((65 + machine.guests.index(cpu.guest),)) * 4096)
        yield from disk.write(8, 8, DATA)
        yield from disk.read(0, 24, DATA)
        return cpu.read(DATA, 24 * 512)

    base = pattern(4)
    for n, data in enumerate(machine.run(program, program, program)):
        assert data == base.read(0, 8) + bytes((65 + n,)) * 4096 + base.read(16, 8)
        service = machine.disk.layer.service(f"guest{n}")
        assert (service.requests, service.bytes, service.errors) == (2, 32 * 512, 0)


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


def test_close_and_open_again():
    machine = Machine()

    def program(cpu, disk):
        yield from cpu.pay()
        for n in range(8):
            disk.submit("read", n, 1, DATA, n)
        disk.flush_ring()
        yield from disk.close()
        assert machine.vsps[0].in_flight == 0    # TORNDOWN came after the last of them
        again = StorVsc(disk.client, disk.channel)
        yield from again.init()
        yield from again.read(5, 8, DATA)
        return cpu.read(DATA, 4096)

    assert machine.run(program) == [machine.images[0].read(5, 8)]


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


@pytest.mark.parametrize("bad", [{"ring_kib": 4}, {"ring_kib": 10}, {"signals": "never"}])
def test_parameters(bad):
    with pytest.raises(ValueError, match=str(*bad.values())):
        StorVsc(None, None, **bad)


def test_sub_channels_are_offered_and_served():
    machine = Machine(max_subchannels=2)
    offers = []

    def program(cpu, disk):
        disk.client.on_offer = offers.append
        for count, status in ((3, v.INVALID_PARAMETER), (2, 0), (1, v.INVALID_PARAMETER)):
            packet = v.SUBCHANNELS.pack(operation=v.CREATE_SUB_CHANNELS, flags=1, subchannels=count)
            assert (yield from disk._ask(packet, "sub-channels", refusal=status)) is None or status == 0
        yield from cpu.hlt(200_000)
        assert [channel.offer.subchannel for channel in offers] == [1, 2]
        extra, got = offers[1], []
        end = yield from disk.client.open(extra, pages=4, on_signal=lambda cpu: got.append(extra.end.receive()))
        end.send(v.SRB.pack(operation=v.EXECUTE_SRB, flags=1, cdb=bytes(6), cdb_length=6, direction=v.NO_DATA), 9, True)
        yield from cpu.hlt(200_000)
        assert got[0].transaction_id == 9 and v.SRB.parse(got[0].payload).srb_status == v.SRB_SUCCESS
        return True

    assert machine.run(program) == [True]
