"""The NVMe driver: on the host's processor, and the same class in a guest that has the device."""

import pytest

from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.nvme import NvmeDriver, NvmeError, memory_needed, page_list
from vmio.hardware.nvme.controller import BAR_BYTES, NvmeController
from vmio.hypervisor.hostcpu import HostCpu
from vmio.machine.bus import Bus
from vmio.machine.clock import Clock
from vmio.machine.storage import Image
from vmio.modes import Machine

BAR = 1 << 40
DISK = b"".join(n.to_bytes(8, "little") * 64 for n in range(4096))


class Rig:
    def __init__(self, service=None, **driver):
        self.host = Machine(memory_mib=16).host
        self.bus = Bus("host MMIO", 1 << 48)
        self.cpu = HostCpu(self.host, self.bus)
        self.image = Image.open(DISK)
        self.messages = []
        self.controller = NvmeController(Clock(), self.host.memory, self.image, self.messages.append, service)
        self.bus.attach(BAR, BAR_BYTES, self.controller, "nvme", width=4)
        size = memory_needed(driver.get("entries", 64), driver.get("pairs", 1))
        self.driver = NvmeDriver(self.cpu, BAR, self.host.memory.allocate(size // 4096), size, **driver)
        self.run(self.driver.init())
        self.buffer = self.host.memory.allocate(512)

    def run(self, program):
        return self.host.env.run(until=self.host.env.process(program))


def test_init_identifies_the_disk():
    driver = Rig().driver
    assert (driver.serial, driver.model) == ("VMIO0001", "QEMU NVMe Ctrl")
    assert (driver.sectors, driver.max_sectors) == (4096, 1024)


@pytest.mark.parametrize("offset", (0, 512, 3584))
@pytest.mark.parametrize("sectors", (1, 7, 8, 9, 16, 17, 1024, 2500))
def test_read_and_write_of_any_shape(offset, sectors):
    rig = Rig()
    at = rig.buffer + offset
    rig.run(rig.driver.read(5, sectors, at))
    assert rig.host.memory.read(at, sectors * 512) == DISK[2560:][:sectors * 512]
    rig.run(rig.driver.write(100, sectors, at))
    rig.run(rig.driver.flush())
    assert rig.image.read(100, sectors) == DISK[2560:][:sectors * 512]


def test_scattered_pages():
    rig = Rig()
    pages = [rig.buffer + 4096 * n for n in (7, 2, 9, 4)]
    assert rig.driver.submit("read", 8, 32, pages, "x")
    rig.driver.ring_doorbell()
    assert rig.driver.reap() == [("x", 0)]
    assert b"".join(rig.host.memory.read(at, 4096) for at in pages) == DISK[4096:20480]


def test_several_submits_one_doorbell_one_reap():
    rig = Rig(entries=8)
    reads_before, writes_before = rig.bus.find(BAR).reads, rig.bus.find(BAR).writes
    taken = [rig.driver.submit("read", n, 1, [rig.buffer + 512 * n], n) for n in range(9)]
    assert taken == [True] * 7 + [False] * 2
    rig.driver.ring_doorbell()
    rig.driver.ring_doorbell()
    assert rig.driver.reap() == [(n, 0) for n in range(7)] and rig.driver.reap() == []
    region = rig.bus.find(BAR)
    assert (region.reads - reads_before, region.writes - writes_before) == (0, 2)


def test_out_of_order_and_slots_come_back():
    pending = []
    rig = Rig(service=lambda op, sectors, done: pending.append(done), entries=4)
    for turn in range(10):
        for n in range(3):
            assert rig.driver.submit("read", n, 1, [rig.buffer], (turn, n))
        assert not rig.driver.submit("read", 3, 1, [rig.buffer], "too many")
        rig.driver.ring_doorbell()
        for n in (1, 2, 0):
            pending[n]()
        pending.clear()
        assert rig.driver.reap() == [((turn, n), 0) for n in (1, 2, 0)]


def test_several_queue_pairs_with_their_vectors():
    rig = Rig(pairs=3, vectors=[1, 2, 3], entries=8)
    rig.messages.clear()
    for pair in (2, 0, 1):
        rig.driver.submit("read", pair, 1, [rig.buffer], pair, pair)
        rig.driver.ring_doorbell(pair)
    assert rig.messages == [3, 1, 2]
    assert [rig.driver.reap(pair) for pair in range(3)] == [[(n, 0)] for n in range(3)]


def test_errors():
    rig = Rig()
    with pytest.raises(NvmeError, match="080h"):
        rig.run(rig.driver.read(4096, 1, rig.buffer))
    with pytest.raises(ValueError, match="sectors"):
        rig.driver.submit("read", 0, 0, [], None)
    with pytest.raises(ValueError, match="sectors"):
        rig.driver.submit("read", 0, 65537, [], None)
    nothing = NvmeDriver(rig.cpu, BAR << 1, rig.buffer, 512 * 4096)
    with pytest.raises(DriverTimeout, match="no NVMe"):
        rig.run(nothing.init())
    with pytest.raises(ValueError, match="memory"):
        NvmeDriver(rig.cpu, BAR, rig.buffer, 4096)


def test_an_answer_nobody_asked_for():
    rig = Rig()
    queue = rig.driver.pairs[0]
    rig.host.memory.write(queue.cq, bytes(12) + b"\x09\x00\x01\x00")
    with pytest.raises(DriverError, match="unknown"):
        rig.driver.reap()


def test_the_same_driver_in_a_guest():
    host = Machine(memory_mib=32).host
    guest = host.guest(ram_mib=16)
    controller = NvmeController(guest.clock, guest.memory, Image.open(DISK),
                                lambda vector: guest.cpu.apic.request(0x50 + vector),
                                service=lambda op, sectors, done: guest.clock.call_later(80_000, done))
    guest.mmio.attach(0xE000_0000, BAR_BYTES, controller, "nvme", width=4)
    guest.cpu.on_interrupt(0x50, lambda cpu: cpu.apic.eoi())
    guest.cpu.on_interrupt(0x51, lambda cpu: cpu.apic.eoi())

    def program(cpu):
        disk = NvmeDriver(cpu, 0xE000_0000, 0x100000, 1 << 20, vectors=[1])
        yield from disk.init()
        started, before = cpu.now, cpu.exits.by_reason()
        yield from disk.read(8, 8, 0x20_0000)
        return cpu.now - started, cpu.exits.by_reason() - before
    (took, exits), = host.run((guest.cpu, program))
    assert exits == {"EPT_VIOLATION": 2, "HLT": 1}       # two doorbells; the interrupt's own time-out arms no timer
    assert guest.memory.read(0x20_0000, 4096) == DISK[4096:8192]
    assert took > 80_000


def test_page_list():
    assert page_list(0x1200, 0x2000) == [0x1200, 0x2000, 0x3000]
    assert page_list(0x1000, 512) == [0x1000]
