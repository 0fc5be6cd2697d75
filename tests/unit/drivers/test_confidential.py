"""A confidential guest with split devices: its data is whole, its host sees what was bounced and no more."""

import pytest

from vmio.drivers.confidential.offers import ALLOWED, DEVICES
from vmio.drivers.errors import DriverError
from vmio.experiments.mix_lies import lying_card
from vmio.machine.net.cable import Cable
from vmio.machine.storage import Image
from vmio.modes import Machine, attachment
from vmio.vmbus.bus import messages as m
from vmio.vmbus.net import nvsp

MIB = 1 << 20
SECRET = b"the host must never see this; " * 140


def machine(confidential=True, pool_kib=1024, **options):
    disk = attachment("disk", "split", **({"confidential": True, "pool_kib": pool_kib} if confidential else {}), **options)
    image = Image(bytearray(4 * MIB))
    guest = Machine().guest("safe", disk, image, ram_mib=(disk.driver_memory >> 20) + 4)
    guest.machine.power_on()
    return guest, image, disk


def test_a_mebibyte_goes_in_five_mappings_and_comes_back_whole():
    guest, image, attached = machine()
    room, data = attached.driver_memory, bytes(n * 7 & 0xFF for n in range(MIB))

    def program(cpu, disk):
        cpu.write(room, data)
        pool = guest.platform.pool
        before = pool.mapped, pool.copied
        yield from disk.write(64, MIB // 512, room)
        assert (pool.mapped - before[0], pool.copied - before[1], pool.used) == (5, MIB, 0)     # 4 x 252 KiB and 16 KiB
        yield from disk.read(64, MIB // 512, room + MIB)
        assert cpu.read(room + MIB, MIB) == data
    guest.machine.run((guest, program))
    assert image.read(64, MIB // 512) == data


def test_what_stays_in_private_pages_is_not_seen_and_what_was_bounced_is():
    guest, image, attached = machine()
    room = attached.driver_memory

    def program(cpu, disk):
        cpu.write(room, b"kept at home".ljust(512))
        cpu.write(room + 4096, b"sent abroad".ljust(512))
        yield from disk.write(0, 1, room + 4096)
    guest.machine.run((guest, program))
    seen = guest.guest.seen.read(0, guest.guest.ram)
    assert guest.guest.memory.read(0, guest.guest.ram).count(b"kept at home") == 1
    assert (seen.count(b"kept at home"), seen.count(b"sent abroad")) == (0, 1) and image.read(0, 1)[:11] == b"sent abroad"
    pool = guest.platform.pool
    assert pool.at <= seen.index(b"sent abroad") < pool.at + pool.size


def test_a_guest_without_a_pool_is_refused_and_leaks_nothing():
    guest, image, attached = machine(pool_kib=0)

    def program(cpu, disk):
        yield
    with pytest.raises(DriverError, match="SRB status 0x6|inquiry|INQUIRY"):
        guest.machine.run((guest, program))
    assert attached.vsp.failures and attached.vsp.under_way.drained() is None


def test_a_full_pool_waits_and_is_counted():
    guest, image, attached = machine(pool_kib=256)
    room = attached.driver_memory

    def program(cpu, disk):
        cpu.write(room, SECRET)
        yield from cpu.pay()
        for n in range(8):
            disk.submit("write", 512 * n, 256, room, n)
        disk.flush_ring()
        over = []
        while len(over) < 8:
            yield from disk.wait()
            over += disk.reap()
        assert [error for _, error in over] == [None] * 8
    guest.machine.run((guest, program))
    assert guest.platform.pool.full > 0 and guest.platform.pool.used == 0
    assert all(image.read(512 * n, 8).startswith(SECRET[:4000]) for n in range(8))


def test_an_alarm_that_passes_while_data_is_copied_is_no_error():
    """Two reads share a pool for one: the second is copied when the first is over, and the time that takes goes past the alarm."""
    guest, image, attached = machine(pool_kib=256)
    room = attached.driver_memory

    def program(cpu, disk):
        for tag in range(4):
            disk.submit("read", 64, 400, room, tag)
        disk.flush_ring()
        over = []
        while len(over) < 4:
            yield from disk.wait(cpu.now + 5_000)       # a copy of 200 KiB takes longer
            over += disk.reap()
        assert [error for _, error in over] == [None] * 4
    guest.machine.run((guest, program))


def test_a_pool_that_others_fill_is_asked_again_every_3_ms():
    guest, image, attached = machine(pool_kib=256)
    room, when = attached.driver_memory, []

    def program(cpu, disk):
        pool = guest.platform.pool
        hog = pool.map(cpu, room, 252 << 10)
        second = pool.map(cpu, room, 4096)
        start = cpu.now
        disk.submit("read", 0, 1, room, "r", lambda *_: when.append(cpu.now - start))
        disk.flush_ring()
        yield from cpu.hlt(10_000_000)
        assert not when
        waited = disk.until(lambda: when, "read")
        next(waited)
        pool.unmap(cpu, hog, False)
        pool.unmap(cpu, second, False)
        yield from cpu.pay()
        yield from waited
    guest.machine.run((guest, program))
    assert when and when[0] > 10_000_000


def test_a_plain_guest_has_no_pool_and_shares_nothing():
    guest, _, _ = machine(confidential=False)

    def program(cpu, disk):
        yield from disk.read(0, 8, 16 * MIB)
    guest.machine.run((guest, program))
    assert guest.platform.pool is None and guest.guest.isolation is None and not guest.platform._client.trust.confidential


def test_a_device_that_comes_later_cannot_make_its_guest_confidential():
    plain, _, _ = machine(confidential=False)
    with pytest.raises(ValueError, match="a confidential device for a guest that is not"):
        plain.platform.need_pool(1024)


def test_rings_are_private_again_after_the_disk_is_closed():
    guest, _, _ = machine()

    def program(cpu, disk):
        ring = disk.end.outgoing.memory.pages
        isolation = guest.guest.isolation
        assert all(isolation.may(page, 3) for page in ring)
        yield from disk.close()
        assert not any(isolation.may(page, 1) for page in ring)
    guest.machine.run((guest, program))


def test_the_list_of_devices_is_linux_s():
    assert [device.name for device in DEVICES if device.allowed] == ["SCSI", "synthetic NIC", "time sync", "heartbeat", "shutdown"]
    assert len(DEVICES) == 17 and len({device.class_id for device in DEVICES}) == 17 and len(ALLOWED) == 5


def test_devices_that_are_not_hardened_are_not_taken():
    guest, _, attached = machine()

    def program(cpu, disk):
        client = guest.platform._client
        known = len(client.channels)
        for number, device in enumerate(DEVICES, 0x300):
            client._offered(m.OFFERCHANNEL.parse(m.OFFERCHANNEL.pack(interface_type=device.class_id or bytes(range(16)), relid=number)))
        return [device.name for number, device in enumerate(DEVICES, 0x300) if number in client.channels], client.trust.refused_offers, known
        yield
    (taken, refused, _), = guest.machine.run((guest, program))
    assert taken == ["SCSI", "synthetic NIC", "time sync", "heartbeat", "shutdown"] and refused == 12


@pytest.mark.parametrize("versions, good", [((m.V5_2,), True), ((m.V5_1,), False), ((m.V4_0,), False)])
def test_an_old_bus_is_refused(versions, good):
    disk = attachment("disk", "split", confidential=True, pool_kib=1024)
    guest = Machine().guest("safe", disk, Image(bytearray(MIB)))
    guest.make().platform.host_versions = versions
    guest.machine.power_on()

    def program(cpu, disk):
        return "up"
        yield
    if good:
        assert guest.machine.run((guest, program)) == ["up"]
    else:
        with pytest.raises(DriverError, match="a confidential guest takes 5.2 or newer"):
            guest.machine.run((guest, program))


MAC = bytes.fromhex("00155d000001")


def card(kind=None, **options):
    """A confidential guest with a split card alone, of a host whose half may be another."""
    made = (kind or (lambda address, **more: attachment("net", "split", address=address, **more)))(MAC, confidential=True, pool_kib=256, **options)
    guest = Machine().guest("safe").attach(made, backend=Cable().ends[0])
    guest.machine.power_on()
    return guest


def up(cpu, driver):
    return driver.version
    yield


def test_an_old_card_is_refused():
    guest = card()
    assert guest.machine.run((guest, up)) == [nvsp.V6_1]
    guest = card(versions=(nvsp.V5,))
    with pytest.raises(DriverError, match="NetVSC: version 5; a confidential guest takes 6.1 or newer"):
        guest.machine.run((guest, up))


def test_a_host_that_lies_about_its_card_is_told_so():
    def sections(asked, answer):
        if nvsp.HEAD.parse(answer).type == nvsp.Nvsp.SEND_SEND_BUF_COMPLETE:
            return nvsp.SEND_BUF_COMPLETE.pack(status=nvsp.SUCCESS, section_bytes=0x7FFF_FFFF).ljust(len(answer), b"\0")
        return answer
    guest = card(lying_card(sections))
    with pytest.raises(DriverError, match="no send buffer: status 1, sections of 2147483647 bytes"):
        guest.machine.run((guest, up))


def test_an_address_that_no_card_has_is_an_error_of_the_device():
    guest = card()
    guest.attachments[0].vsp.control.permanent = bytes.fromhex("010000000000")
    with pytest.raises(DriverError, match="the host says that the card has an address 01:00:00:00:00:00: a group's"):
        guest.machine.run((guest, up))
