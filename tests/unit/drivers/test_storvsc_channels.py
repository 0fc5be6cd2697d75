"""StorVSC's sub-channels: one for each further vCPU, each with rings, interrupts and requests of its own."""

import pytest

from tests.smp_rig import DATA, Smp
from vmio.drivers.errors import DriverError
from vmio.drivers.vmbus import Rescinded
from vmio.vmbus.bus import messages as m
from vmio.vmbus.storage import vstor as v


def nothing(cpu, disk):
    return
    yield


def reads(count):
    """`count` reads of each vCPU, of its own part of the disk, by its own queue; returns what it has read."""
    def work(cpu, disk):
        queue, at, data = disk.on(cpu), DATA + 0x1_0000 * cpu.index, []
        for n in range(count):
            yield from queue.read(1000 * cpu.index + 8 * n, 8, at)
            data.append(cpu.read(at, 4096))
        return b"".join(data)
    return work


@pytest.mark.parametrize("vcpus, online, allowed, channels", [
    (1, 1, None, 1), (4, 4, None, 4), (4, 3, None, 3), (4, 4, 2, 3), (4, 4, 0, 1), (2, 2, 7, 2), (64, 64, None, 64)])
def test_a_channel_for_each_vcpu_that_is_online_and_allowed(vcpus, online, allowed, channels):
    """Linux, handle_multichannel_storage: as many as processors online, less one, or as the host allows."""
    smp = Smp(vcpus, online, max_subchannels=allowed)
    smp.run(nothing)
    assert smp.open_channels() == [(n, n) for n in range(channels)]
    assert [q.cpu.index for q in (smp.disk, *smp.disk.further)] == list(range(channels))
    rings = {tuple(c.ring.whole_pages) for c in smp.server.channels.values()}
    assert len(rings) == channels and len(set().union(*rings)) == 16 * channels     # 2 x 32 KiB each, and none shared


def test_each_vcpu_has_signals_and_interrupts_of_its_own():
    smp = Smp(3)
    before = {}

    def counted(cpu, disk):
        before[cpu.index] = dict(cpu.exits.by_reason()), cpu.interrupts
        return (yield from reads(5)(cpu, disk))

    data = smp.run(counted)
    assert data == [smp.image.read(1000 * n, 40) for n in range(3)]
    for channel, cpu in zip(smp.server.channels.values(), smp.guest.vcpus):
        exits, interrupts = before[cpu.index]
        assert channel.target_vp == cpu.index
        assert cpu.exits.by_reason()["VMCALL"] - exits.get("VMCALL", 0) == 5
        assert cpu.interrupts - interrupts == 5
    first, *others = smp.server.channels.values()
    assert [c.signals for c in others] == [5, 5]
    assert [worker.taken for worker in (c.device.worker for c in others)] == [5, 5]


def test_requests_of_all_vcpus_are_in_flight_together():
    smp = Smp(4)

    def work(cpu, disk):
        queue = disk.on(cpu)
        for n in range(8):
            queue.submit("read", 100 * cpu.index + n, 1, DATA + 0x1_0000 * cpu.index + 512 * n, n)
        yield from cpu.pay()
        queue.flush_ring()
        done = []
        while len(done) < 8:
            yield from queue.wait()
            done += queue.reap()
        assert all(error is None for _, error in done)
        return sorted(tag for tag, _ in done)

    assert smp.run(work) == [list(range(8))] * 4
    for n in range(4):
        assert smp.guest.memory.read(DATA + 0x1_0000 * n, 4096) == smp.image.read(100 * n, 8)


def by_submit(count):
    """As `reads`, by the surface that all queues have."""
    def work(cpu, disk):
        queue, at, data = disk.on(cpu), DATA + 0x1_0000 * cpu.index, []
        for n in range(count):
            queue.submit("read", 1000 * cpu.index + 8 * n, 8, at, n)
            yield from cpu.pay()
            queue.flush_ring()
            yield from queue.wait()
            assert queue.reap() == [(n, None)]
            data.append(cpu.read(at, 4096))
        return b"".join(data)
    return work


@pytest.mark.parametrize("vcpus, allowed, ways", [(2, 0, [0, 0]), (3, 1, [0, 1, 0]), (5, 1, [0, 1, 0, 1, 0]), (4, 3, [0, 1, 2, 3])])
def test_a_vcpu_without_a_channel_goes_by_anothers(vcpus, allowed, ways):
    """Linux, get_og_chn: by its number.  It signals itself; its answers come by the channel's own vCPU, which wakes it."""
    smp, before = Smp(vcpus, max_subchannels=allowed), {}

    def counted(cpu, disk):
        before[cpu.index] = dict(cpu.exits.by_reason())
        return (yield from by_submit(4)(cpu, disk))

    assert smp.run(counted) == [smp.image.read(1000 * n, 32) for n in range(vcpus)]
    disk = smp.disk
    queues = [disk, *disk.further]
    assert [queues.index(getattr(disk.on(cpu), "queue", disk.on(cpu))) for cpu in smp.guest.vcpus] == ways
    assert all(disk.on(cpu) is disk.on(cpu) for cpu in smp.guest.vcpus)
    for cpu, way in zip(smp.guest.vcpus, ways):
        made = {reason: count - before[cpu.index].get(reason, 0) for reason, count in cpu.exits.by_reason().items()}
        assert made.get("VMCALL", 0) <= 4                       # fewer, where the host was awake for another's request
        assert made.get("WRMSR", 0) == 4 * (ways.count(way) - 1) * (way == cpu.index)


@pytest.mark.parametrize("polled", [False, True])
def test_sharers_fill_one_ring_and_all_is_answered(polled):
    """A ring of 8 KiB has room for some 30 requests: what waits for room is sent by whoever is awake then."""
    smp = Smp(3, max_subchannels=0, ring_kib=8)

    def work(cpu, disk):
        disk.polled = polled
        queue, at = disk.on(cpu), DATA + 0x1_0000 * cpu.index
        for n in range(60):
            queue.submit("read", 100 * cpu.index + n, 1, at + 512 * n, n)
        yield from cpu.pay()
        queue.flush_ring()
        done = []
        while len(done) < 60:
            yield from queue.wait()
            done += queue.reap()
        assert sorted(done) == [(n, None) for n in range(60)]
        assert cpu.read(at, 60 * 512) == smp.image.read(100 * cpu.index, 60)
        return True

    assert smp.run(work) == [True] * 3
    assert smp.disk.end.outgoing.out_full_total > 0 and not smp.disk.in_flight


def test_room_in_the_ring_wakes_who_waits_for_nothing_else():
    """vCPU 1 fills the ring; what vCPU 2 wants waits, none of it in flight, and vCPU 1 doesn't look again."""
    smp = Smp(3, max_subchannels=0, ring_kib=8, queue_depth=4)

    def work(cpu, disk):
        if cpu.index == 0:
            return True
        queue = disk.on(cpu)
        while cpu.now < 20_000_000 * cpu.index:
            yield from cpu.hlt(20_000_000 * cpu.index - cpu.now)
        smp.vsp.disks[0][1].hold = True
        at = DATA + 0x1_0000 * cpu.index
        while not queue.in_flight or cpu.index == 1 and not disk.waiting:
            queue.submit("read", 7, 1, at, queue.in_flight)
            queue.flush_ring()
            yield from cpu.hlt(100_000)
        if cpu.index == 2:
            assert len(disk.waiting) == 2
            smp.host.at(cpu.now + 1_000_000, release)
            yield from queue.wait()
            return cpu.read(at, 512) == smp.image.read(7, 1)
        return True

    def release(_):
        backend = smp.vsp.disks[0][1]
        backend.hold = False
        while backend.held:
            backend.release()

    assert smp.run(work) == [True] * 3
    assert smp.host.env.now < 10**9


def test_who_shares_hears_that_the_disk_has_gone():
    smp = Smp(2, max_subchannels=0)

    def work(cpu, disk):
        smp.vsp.disks[0][1].hold = True
        queue = disk.on(cpu)
        queue.submit("read", 0, 8, DATA, "held")
        yield from cpu.pay()
        queue.flush_ring()
        if cpu.index == 0:
            smp.host.at(cpu.now + 1_000_000, lambda _: smp.server.rescind(smp.vsp.channel))
        yield from queue.wait()
        (tag, error), = queue.reap()             # the request has failed with that, once;
        assert tag == "held" and isinstance(error, Rescinded)
        with pytest.raises(Rescinded):           # and there will be no other
            yield from queue.wait()

    smp.run(work, after=lambda cpu, disk: iter([smp.vsp.disks[0][1].release()] * 0))
    assert smp.host.env.now < 10**9


def test_channels_go_and_come_again_and_requests_under_way_end_first():
    """A queue that goes has answered all; its channel's number stays offered, and rings are of another opening."""
    smp = Smp(4)
    held, seen, submitted = [], [], []

    def work(cpu, disk):
        queue = disk.on(cpu)
        if cpu.index == 3:
            for n in range(8):
                queue.submit("write", 8 * n, 8, DATA, n, held.append)
            yield from cpu.pay()
            queue.flush_ring()
            submitted.append(len(held))
            while len(held) < 8:
                yield from cpu.hlt(10_000_000)
        elif cpu.index == 0:
            while not submitted:
                yield from cpu.hlt(1_000)
            for number in (2, 1, 4, 3):
                seen.append(((yield from disk.set_queues(number)), smp.open_channels(), len(held)))
                yield from disk.read(0, 8, DATA)
            with pytest.raises(ValueError, match="0 channels; 1 or more"):
                yield from disk.set_queues(0)

    smp.run(work)
    assert [number for number, _, _ in seen] == [2, 1, 4, 3]
    assert [channels for _, channels, _ in seen] == [[(n, n) for n in range(number)] for number in (2, 1, 4, 3)]
    assert submitted == [0] and seen[0][2] == 8 and sorted(held) == [(n, None) for n in range(8)]
    assert len(smp.server.channels) == 4 and not smp.server.refused and not smp.vsp.corrupt


def test_close_gives_every_channel_back_and_the_disk_opens_again():
    smp = Smp(4)
    seen, closed, handle = [], [], smp.server._handle

    def listening(connection, message_type, payload):
        layout, record = m.parse(payload)
        if layout is m.CLOSECHANNEL:
            closed.append(record.relid)
        yield from handle(connection, message_type, payload)

    smp.server._handle = listening

    def again(cpu, disk):
        for _ in range(3):
            yield from disk.close()
            yield from cpu.hlt(100_000)          # that a channel is released has no answer
            assert list(smp.server.channels) == [1] and not smp.server.gpadls.by_handle
            assert list(smp.client.channels) == [1] and not disk.further
            yield from disk.init()
            seen.append(smp.open_channels())
        yield from disk.read(0, 8, DATA)

    smp.run(nothing, after=again)
    assert seen == [[(n, n) for n in range(4)]] * 3
    assert closed == [4, 3, 2, 1] * 3                 # Linux, vmbus_close: the primary last


@pytest.mark.parametrize("taken_away, max_ns", [(False, 11 * 10**9), (True, 10**9)])
def test_a_host_that_promises_and_does_not_offer(taken_away, max_ns):
    """The disk goes on with what it has; and doesn't wait for sub-channels of a disk that has gone."""
    smp, waited = Smp(4), []

    def promise(number):
        waited.append(smp.host.env.now)
        if taken_away:
            smp.host.at(waited[0] + 1_000_000, lambda _: smp.server.rescind(smp.vsp.channel))
        return v.SUCCESS

    smp.vsp._create_subchannels = promise
    if taken_away:
        with pytest.raises(Rescinded):
            smp.run(nothing)
    else:
        smp.run(nothing, after=lambda cpu, disk: disk.read(0, 8, DATA))
        assert smp.open_channels() == [(0, 0)]
    assert smp.host.env.now - waited[0] < max_ns


def test_a_disk_that_is_taken_away_ends_on_all_channels():
    smp = Smp(2)

    def work(cpu, disk):
        yield from reads(1)(cpu, disk)
        while cpu.now < 20_000_000:
            yield from cpu.hlt(20_000_000 - cpu.now)
        smp.vsp.disks[0][1].hold = True
        if cpu.index == 0:
            smp.host.at(21_000_000, lambda _: smp.server.rescind(smp.vsp.channel))
        with pytest.raises(DriverError, match="taken the disk away"):
            yield from disk.on(cpu).read(0, 8, DATA)          # in flight when the disk goes: whoever sleeps for it is woken
        assert 21_000_000 <= cpu.now < 22_000_000
        if cpu.index == 0:
            smp.vsp.disks[0][1].release()
            smp.vsp.disks[0][1].release()

    def tidy(cpu, disk):
        yield from disk.close()
        yield from smp.client.release(disk.channel)
        yield from cpu.hlt(1_000_000)

    smp.run(work, after=tidy)
    assert not smp.server.channels and not smp.server.gpadls.by_handle
