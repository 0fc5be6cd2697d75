"""The disk end to end: a guest's driver, the bus, the VSP, the host's NVMe disk; and everything that can go wrong on the way."""

import pytest

from tests.storvsc_rig import DATA, Machine
from vmio.drivers import storvsc_start
from vmio.drivers.errors import DriverError
from vmio.drivers.storvsc import StorVsc
from vmio.experiments.disk import pattern
from vmio.vmbus.storage import vstor as v


def test_probe():
    machine = Machine()

    def program(cpu, disk):
        return disk.identity, disk.version, disk.max_bytes
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
            disk.submit("read", lba, 8, DATA, lba, got.append)
        disk.flush_ring()
        while len(got) < 3:
            yield from cpu.hlt()
        return got

    got = dict(machine.run(program)[0])
    assert got[0] is None and got[8] is None
    assert got[8190].sense == (5, 0x21, 0) and "5/21/00" in str(got[8190])


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


def test_close_and_open_again():
    machine = Machine()

    def program(cpu, disk):
        yield from cpu.pay()
        for n in range(8):
            disk.submit("read", n, 1, DATA, n)
        disk.flush_ring()
        yield from disk.close()
        assert machine.vsps[0].in_flight == 0    # TORNDOWN came after the last of them
        with pytest.raises(DriverError, match="StorVSC: closed"):
            disk.submit("read", 0, 1, DATA, 0)   # its pages are no ring's any more
        again = StorVsc(disk.client, disk.channel)
        yield from again.init()
        yield from again.read(5, 8, DATA)
        return cpu.read(DATA, 4096)

    assert machine.run(program) == [machine.images[0].read(5, 8)]


@pytest.mark.parametrize("bad", [{"ring_kib": 4}, {"ring_kib": 10}, {"signals": "never"}])
def test_parameters(bad):
    with pytest.raises(ValueError, match=str(*bad.values())):
        StorVsc(None, None, **bad)


def test_sub_channels_are_offered_and_served():
    machine = Machine(max_subchannels=2)
    offers = []

    def program(cpu, disk):
        disk.client.on_offer = offers.append
        for count, status in ((3, v.INVALID_PARAMETER), (2, 0), (1, 0)):
            packet = v.SUBCHANNELS.pack(operation=v.CREATE_SUB_CHANNELS, flags=1, subchannels=count)
            assert (yield from storvsc_start.ask(disk, packet, "sub-channels", refusals=(status,))) is None or status == 0
        yield from cpu.hlt(200_000)
        assert [channel.offer.subchannel for channel in offers] == [1, 2]
        extra, got = offers[1], []
        end = yield from disk.client.open(extra, pages=4, on_signal=lambda cpu: got.append(extra.end.receive()))
        end.send(v.SRB.pack(operation=v.EXECUTE_SRB, flags=1, cdb=bytes(6), cdb_length=6, direction=v.NO_DATA), 9, True)
        yield from cpu.hlt(200_000)
        assert got[0].transaction_id == 9 and v.SRB.parse(got[0].payload).srb_status == v.SRB_SUCCESS
        return True

    assert machine.run(program) == [True]
