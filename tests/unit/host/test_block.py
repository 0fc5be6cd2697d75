"""The host block layer on the simulated controller: order, accounting, flushes."""

import pytest

from vmio.drivers.nvme import NvmeDriver, memory_needed
from vmio.hardware.nvme.controller import BAR_BYTES, NvmeController
from vmio.host.block import BlockLayer
from vmio.hypervisor.hostcpu import HostCpu
from vmio.machine.bus import Bus
from vmio.machine.clock import Clock
from vmio.machine.storage import Image
from vmio.modes import Machine

BAR = 1 << 40
TIMES = {"read": 80_000, "write": 20_000, "flush": 500_000}


class Rig:
    def __init__(self, entries=8, times=TIMES):
        self.host = Machine(memory_mib=8).host
        env = self.host.env
        bus = Bus("host MMIO", 1 << 48)
        self.cpu = HostCpu(self.host, bus)
        self.image = Image.open(bytes(range(256)) * 2 * 4096)
        self.log = []

        def service(op, sectors, done):
            self.log.append((env.now, op))
            env.timeout(times[op]).callbacks.append(lambda event: done())
        self.controller = NvmeController(Clock(), self.host.memory, self.image, self.interrupt, service)
        bus.attach(BAR, BAR_BYTES, self.controller, "nvme", width=4)
        size = memory_needed(entries)
        base = self.host.memory.allocate(size // 4096)
        self.driver = NvmeDriver(self.cpu, BAR, base, size, entries=entries, vectors=[1])
        self.layer = BlockLayer(self.host, self.driver)
        env.run(until=env.process(self.driver.init()))
        self.page = self.host.memory.allocate(16)

    def interrupt(self, vector):
        if vector:
            self.layer.interrupt(vector)
        else:
            self.cpu.interrupt()


def test_one_read_and_its_account():
    rig, ends = Rig(), []
    started = rig.host.env.now
    rig.layer.submit("a", "read", 8, 8, [rig.page], lambda status: ends.append((rig.host.env.now, status)))
    rig.host.env.run()
    assert ends == [(started + 80_000, 0)]
    assert rig.host.memory.read(rig.page, 4096) == rig.image.read(8, 8)
    account = rig.layer.service("a")
    assert (account.requests, account.bytes, account.waiting_ns, account.device_ns, account.errors) == \
        (1, 4096, 0, 80_000, 0)


def test_submits_of_one_instant_share_a_doorbell():
    rig, ends = Rig(), []
    before = rig.driver.doorbells
    for n in range(5):
        rig.layer.submit("a", "read", n, 1, [rig.page], ends.append)
    rig.host.env.run()
    assert ends == [0] * 5
    assert rig.driver.doorbells == before + 1


def test_more_than_the_queue_holds():
    rig, ends = Rig(entries=4), []
    for n in range(20):
        name = "ab"[n % 2]
        rig.layer.submit(name, "read", n, 1, [rig.page], lambda status, n=n: ends.append(n))
    assert len(rig.layer.queue) == 17      # three fit: a ring keeps one entry free
    rig.host.env.run()
    assert [[n for n in ends if n % 2 == guest] for guest in (0, 1)] == [[*range(0, 20, 2)], [*range(1, 20, 2)]]
    a, b = rig.layer.service("a"), rig.layer.service("b")
    assert a.requests == b.requests == 10
    assert a.waiting_ns > 0 and a.device_ns == 10 * 80_000
    assert rig.layer.in_flight == 0


def test_a_flush_waits_for_the_earlier_writes_of_its_guest_only():
    rig, order = Rig(), []
    def end(name):
        return lambda status: order.append(name)
    rig.layer.submit("a", "write", 0, 8, [rig.page], end("a write"))
    rig.layer.submit("a", "flush", 0, 0, [], end("a flush"))
    rig.layer.submit("a", "write", 8, 8, [rig.page], end("a later write"))
    rig.layer.submit("b", "flush", 0, 0, [], end("b flush"))
    rig.host.env.run()
    flushes = [at for at, kind in rig.log if kind == "flush"]
    writes = [at for at, kind in rig.log if kind == "write"]
    assert flushes[1] - flushes[0] == TIMES["write"]          # b's at once, a's after its first write
    assert writes[0] == writes[1] == flushes[0]
    assert order == ["a write", "a later write", "b flush", "a flush"]


def test_errors_are_told_and_counted():
    rig, ends = Rig(), []
    rig.layer.submit("a", "read", 4095, 8, [rig.page], ends.append)
    rig.layer.submit("a", "write", 0, 1, [1 << 41], ends.append)
    rig.host.env.run()
    assert [status & 0x7FF for status in ends] == [0x80, 0x04]
    assert rig.layer.service("a").errors == 2


def test_done_may_submit_again():
    rig, ends = Rig(), []

    def again(status):
        ends.append(status)
        if len(ends) < 5:
            rig.layer.submit("a", "read", 0, 1, [rig.page], again)
    rig.layer.submit("a", "read", 0, 1, [rig.page], again)
    rig.host.env.run()
    assert len(ends) == 5


@pytest.mark.parametrize("wrong", ({"entries": 1}, {"entries": 4096}, {"pairs": 0}))
def test_driver_parameters_are_checked(wrong):
    rig = Rig()
    with pytest.raises(ValueError, match=next(iter(wrong))):
        NvmeDriver(rig.cpu, BAR, 0x1000, 1 << 20, **wrong)


def test_host_cpu_hlt_times_out_and_wakes():
    rig = Rig()
    env = rig.host.env

    def program():
        first = yield from rig.cpu.hlt(500)
        env.timeout(100).callbacks.append(lambda event: rig.cpu.interrupt())
        second = yield from rig.cpu.hlt(500)
        return first, second, env.now
    started = env.now
    assert env.run(until=env.process(program())) == (False, True, started + 600)
