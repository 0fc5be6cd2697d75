"""Through the whole split path: what can change under running guests, and what changes by closing and opening again."""

import pytest

from tests.storvsc_rig import DATA, LIMIT, Machine, bring_up
from vmio.drivers.pages import GuestPages
from vmio.drivers.scsi_probe import ScsiError
from vmio.drivers.storvsc import StorVsc
from vmio.drivers.vmbus import VmBusClient
from vmio.host.policies import POLICIES, make
from vmio.host.scheduler import Share
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.host import Host


def steady(cpu, reads=200):
    """A neighbour that reads all the time; returns what it has read."""
    disk = yield from bring_up(cpu)
    data = b""
    for n in range(reads):
        yield from disk.read(n * 8, 8, DATA)
        data += cpu.read(DATA, 4096)
    return data


def test_another_ring_size_is_a_close_and_an_open():
    """The rings are memory that the guest lent when it opened the channel: it opens again with other memory."""
    machine = Machine(guests=2)
    data, sizes = bytes(range(256)) * 1024, (8, 256, 32)

    def resizes(cpu):
        client = VmBusClient(cpu, GuestPages(0x10_0000, DATA))
        yield from client.connect()
        channel, = yield from client.request_offers()
        used = []
        for n, ring_kib in enumerate(sizes):
            disk = StorVsc(client, channel, ring_kib=ring_kib)
            yield from disk.init()
            cpu.write(DATA, data)
            yield from disk.write(1000 * n, len(data) // 512, DATA)
            used.append(disk.end.outgoing.size)
            yield from disk.close()
        return used

    used, read = machine.host.run((machine.guests[0].cpu, resizes), (machine.guests[1].cpu, steady), limit_ns=LIMIT)
    assert used == [(ring_kib - 4) * 1024 for ring_kib in sizes]
    assert all(machine.images[0].read(1000 * n, len(data) // 512) == data for n in range(3))
    assert read == machine.images[1].read(0, 1600)
    for n, (requests, size) in enumerate(((None, 3 * len(data)), (200, 200 * 4096))):
        service = machine.disk.layer.service(f"guest{n}")
        assert service.errors == service.outstanding == 0 and service.bytes >= size
        assert requests is None or service.requests == requests


@pytest.mark.parametrize("last", POLICIES)
def test_shares_depth_policy_and_cores_change_under_running_guests(last):
    """Every byte is right and every request is counted once, whatever the host changes meanwhile."""
    machine = Machine(guests=3)
    layer, env = machine.disk.layer, machine.host.env
    for guest in machine.guests:
        layer.add(guest.name, Share())

    def many(cpu):
        disk = yield from bring_up(cpu)
        got = {}
        for at in range(8):
            yield from cpu.pay()
            for n in range(32):
                disk.submit("read", (at * 32 + n) * 8, 8, DATA + n * 4096, n)
            disk.flush_ring()
            left = 32
            while left:
                yield from disk.wait()
                left -= len(disk.reap())
            got[at] = cpu.read(DATA, 32 * 4096)
        return b"".join(got.values())

    def host():
        policies = [*POLICIES, last]
        for n in range(400):
            yield env.timeout(10_000)
            busy.append(len(layer.queue))
            name = f"guest{n % 3}"
            layer.change(name, weight=1 + n * 37 % 500, cap=None if n % 2 else 200_000_000, reservation=n % 4 * 1_000_000)
            layer.set_depth(1 + n * 7 % 20)
            machine.host.set_cores(1 + n * 3 % 5)
            if n % 5 == 0:
                layer.set_scheduler(make(policies[n // 5 % len(policies)]))
        layer.set_scheduler(make(last))

    busy = []
    env.process(host())
    results = machine.host.run(*[(guest.cpu, many) for guest in machine.guests], limit_ns=LIMIT)
    assert sum(waiting > 0 for waiting in busy) > 50
    for n, data in enumerate(results):
        assert data == machine.images[n].read(0, 2048)
        service = layer.service(f"guest{n}")
        assert (service.requests, service.bytes, service.errors, service.outstanding) == (256, 256 * 4096, 0, 0)


def test_a_disk_is_taken_away_from_a_running_guest():
    """It hears of it as an error of each request, and its neighbour of nothing."""
    machine = Machine(guests=2)

    def loses(cpu):
        disk = yield from bring_up(cpu)
        yield from disk.read(0, 8, DATA)
        machine.disk.slices[0].remove()
        with pytest.raises(ScsiError, match="read"):
            yield from disk.read(0, 8, DATA)
        return True

    assert machine.host.run((machine.guests[0].cpu, loses), (machine.guests[1].cpu, steady),
                            limit_ns=LIMIT) == [True, machine.images[1].read(0, 1600)]


def busy_cores(host, guests, ns=1_000_000):
    """A worker for each guest that computes in steps of 1,000 ns; returns the list of (when, worker) of all steps."""
    steps = []

    def work(n):
        for _ in range(ns // 1000):
            yield from host.cores.work(1000)
            steps.append((host.env.now, n))
    for n in range(guests):
        host.env.process(work(n))
    return steps


@pytest.mark.parametrize("numbers", [(1, 4), (4, 1), (2, 3), (3, 2), (1, 8, 2), (256, 1, 256, 1, 5)])
def test_cores_come_and_go_while_all_are_wanted(numbers):
    """As many steps end in each stretch of time as there are cores; nobody's step is lost or done twice."""
    host = Host(memory_mib=1, cores=numbers[0])
    steps = busy_cores(host, guests=6)
    for n, cores in enumerate(numbers):
        host.set_cores(cores)
        host.env.run(until=(n + 1) * 100_000)
        since = n * 100_000 + 1000              # what was under way is not stopped
        ends = sum(since < when <= (n + 1) * 100_000 for when, _ in steps)
        assert ends == pytest.approx(99 * min(cores, 6), abs=6)
    host.set_cores(6)
    host.env.run()
    assert len(steps) == len(set(steps)) == 6000 and host.busy_ns == 6_000_000


def test_whoever_computes_for_long_gives_a_core_back_at_the_end_of_a_slice():
    host = Host(memory_mib=1, cores=2)
    slice_ns = host.costs.slice_ns
    ends = []
    for _ in range(2):
        host.env.process(host.cores.work(10 * slice_ns)).callbacks.append(lambda _: ends.append(host.env.now))
    host.env.run(until=slice_ns // 2)
    host.set_cores(1)
    host.env.run(until=slice_ns)
    host.env.run()
    assert host.env.now == max(ends) == 19 * slice_ns       # one slice of each side by side, then one after the other


@pytest.mark.parametrize("cores", (0, 257))
def test_a_host_has_a_core(cores):
    host = Host(memory_mib=1)
    with pytest.raises(ValueError, match=f"cores {cores}; 1 to 256"):
        host.set_cores(cores)
    assert host.cores.count == 2


def test_a_slice_takes_time():
    with pytest.raises(ValueError, match="slice_ns 0"):
        Host(costs=CostModel.preset().with_(slice_ns=0))
