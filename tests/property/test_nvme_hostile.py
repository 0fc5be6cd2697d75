"""A hostile host of the NVMe controller, and a lawful one against a model that is a dictionary."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from vmio.drivers.nvme import NvmeDriver, memory_needed
from vmio.hardware.nvme.controller import BAR_BYTES, NvmeController
from vmio.hypervisor.host import Host
from vmio.hypervisor.hostcpu import HostCpu
from vmio.machine.bus import BadAccess, Bus
from vmio.machine.clock import Clock
from vmio.machine.memory import HostMemory
from vmio.machine.pagetable import READ, WRITE, PageTable
from vmio.machine.space import AddressSpace
from vmio.machine.storage import Image

WINDOW = 64 * 4096            # what the device may reach, at IOVA 0
SECRET = b"\x5A" * 4096
ADDRESSES = st.sampled_from((0, 0x1000, 0x2000, 0x3000, 0x4000, 0x5008, 0x8000, 0x8FF8, WINDOW - 8, WINDOW, WINDOW * 2,
                             1 << 47, (1 << 64) - 8)) | st.integers(0, WINDOW - 1)
COMMAND = st.tuples(st.integers(0, 255) | st.sampled_from((0, 1, 2, 5, 6, 8, 9, 10, 12, 25)),
                    st.sampled_from((0, 0, 0, 0, 1, 0x40, 0x80, 0xC0)), st.integers(0, 65535),
                    st.sampled_from((1, 1, 1, 0, 2, 0xFFFFFFFF)), ADDRESSES, ADDRESSES,
                    *[st.sampled_from((0, 1, 7, 0x10001, 0x30001, 0xFFFFFFFF)) | st.integers(0, 0xFFFFFFFF)] * 2,
                    st.integers(0, 64) | st.integers(0, 0xFFFFFFFF))
STEP = st.one_of(
    st.tuples(st.just("write"), st.integers(0, BAR_BYTES - 1), st.sampled_from((1, 2, 4)), st.integers(0, 0xFFFFFFFF)),
    st.tuples(st.just("read"), st.integers(0, BAR_BYTES - 1), st.sampled_from((1, 2, 4))),
    st.tuples(st.just("write"), st.sampled_from((0x0C, 0x10, 0x14, 0x24, 0x28, 0x30, 0x2000, 0x200C)), st.just(4),
              st.sampled_from((0, 1, 0x460001, 0x464001, 0x70007, 0x1000, 0x2000))),
    st.tuples(st.just("bell"), st.integers(0, 7), st.integers(0, 9)),
    st.tuples(st.just("admin"), COMMAND), st.tuples(st.just("io"), COMMAND),
    st.tuples(st.just("list"), st.sampled_from((0x8000, 0x8FF8, 0x9000)), st.lists(ADDRESSES, max_size=8)),
    st.tuples(st.just("done"), st.integers(0, 50)))


class Prison:
    """A controller whose DMA reaches `WINDOW` bytes, of which one page is read-only; around it secrets."""

    def __init__(self, slow):
        memory = HostMemory(2 << 20)
        self.below = memory.allocate(1)
        spa = memory.allocate(WINDOW // 4096)
        self.above = memory.allocate(1)
        for at in (self.below, self.above, spa + 0x6000):
            memory.write(at, SECRET)
        table = PageTable(memory)
        table.map(0, spa, WINDOW, READ | WRITE)
        table.map(0x6000, spa + 0x6000, 4096, READ)
        self.host_memory, self.read_only = memory, spa + 0x6000
        self.memory, self.pending, self.messages = AddressSpace(memory, table), [], []
        service = (lambda kind, sectors, done: self.pending.append(done)) if slow else None
        self.chip = NvmeController(Clock(), self.memory, Image.open(bytes(512 * 64)), self.messages.append, service)
        for offset, value in ((0x24, 0x70007), (0x28, 0x1000), (0x30, 0x2000), (0x14, 0x460001)):
            self.chip.write(offset, 4, value)
        self.tails = [0, 0]
        self.command(0, (5, 0, 1, 0, 0x3000, 0, 0x70001, 0x10003, 0))
        self.command(0, (1, 0, 2, 0, 0x4000, 0, 0x70001, 0x10001, 0))

    def command(self, queue, fields):
        *head, d10, d11, d12 = fields
        at = (0x1000, 0x4000)[queue] + 64 * self.tails[queue]
        self.memory.write(at, struct.pack("<BBHI16xQQ6I", *head, d10, d11, d12, 0, 0, 0))
        self.tails[queue] = (self.tails[queue] + 1) % 8
        self.chip.write(0x1000 + 8 * queue, 4, self.tails[queue])
        self.chip.write(0x1004 + 8 * queue, 4, self.tails[queue])

    def do(self, step):
        kind, *rest = step
        try:
            if kind == "write":
                offset, size, value = rest
                self.chip.write(offset, size, value & (1 << 8 * size) - 1)
            elif kind == "read":
                assert 0 <= self.chip.read(*rest) < 1 << 8 * rest[1]
            elif kind == "bell":
                self.chip.write(0x1000 + 4 * rest[0], 4, rest[1])
            elif kind == "list":
                self.memory.write(rest[0], struct.pack(f"<{len(rest[1])}Q", *rest[1])[:WINDOW - rest[0]])
            elif kind == "done":
                if self.pending:
                    self.pending[rest[0] % len(self.pending)]()
            else:
                self.command(kind == "io", rest[0])
        except BadAccess:
            pass


@settings(deadline=None, max_examples=150)
@given(st.booleans(), st.lists(STEP, max_size=60))
def test_a_hostile_host(slow, steps):
    prison = Prison(slow)
    for step in steps:
        prison.do(step)
    for done in prison.pending:
        done()
    for at in (prison.below, prison.above, prison.read_only):
        assert prison.host_memory.read(at, 4096) == SECRET
    state = prison.chip.save()
    twin = NvmeController(Clock(), prison.memory, Image.open(bytes(512 * 64)), prison.messages.append,
                          lambda kind, sectors, done: None)
    twin.restore(state)
    prison.chip.reset()
    assert prison.chip.read(0x1C, 4) == 0
    for offset, value in ((0x24, 0x70007), (0x28, 0x1000), (0x30, 0x2000), (0x14, 0x460001)):
        prison.chip.write(offset, 4, value)
    assert prison.chip.read(0x1C, 4) == 1


SECTORS = 2048
REQUEST = st.tuples(st.sampled_from(("read", "write", "write", "zero")), st.integers(0, SECTORS - 1),
                    st.integers(1, 40) | st.just(1024), st.sampled_from((0, 512, 1024, 3584)), st.integers(0, 255))


@settings(deadline=None, max_examples=60)
@given(st.lists(REQUEST, max_size=25), st.randoms(use_true_random=False))
def test_reads_what_was_written(requests, random):
    host = Host(memory_mib=8)
    bus = Bus("host MMIO", 1 << 48)
    cpu = HostCpu(host, bus)
    controller = NvmeController(Clock(), host.memory, Image.open(bytes(512 * SECTORS)))
    bus.attach(1 << 40, BAR_BYTES, controller, "nvme", width=4)
    size = memory_needed(4)
    driver = NvmeDriver(cpu, 1 << 40, host.memory.allocate(size // 4096), size, entries=4)
    host.env.run(until=host.env.process(driver.init()))
    pool = host.memory.allocate(200)
    model = {}
    for kind, lba, sectors, offset, seed in requests:
        sectors = min(sectors, SECTORS - lba)
        length = sectors * 512
        pages = [pool + 4096 * n for n in random.sample(range(200), -(-(length + offset) // 4096))]
        spans = [(pages[0] + offset, min(length, 4096 - offset))]
        for page in pages[1:]:
            spans.append((page, min(4096, length - sum(n for _, n in spans))))
        payload = b"".join(bytes([(seed + n) & 0xFF]) * 512 for n in range(sectors))
        if kind == "write":
            at = 0
            for address, n in spans:
                host.memory.write(address, payload[at:at + n])
                at += n
        assert driver.submit(kind, lba, sectors, [spans[0][0], *pages[1:]] if kind != "zero" else [], kind)
        driver.ring_doorbell()
        assert driver.reap() == [(kind, 0)]
        if kind == "read":
            got = b"".join(host.memory.read(address, n) for address, n in spans)
            assert got == b"".join(model.get(lba + n, bytes(512)) for n in range(sectors))
        else:
            for n in range(sectors):
                model[lba + n] = payload[512 * n:512 * n + 512] if kind == "write" else bytes(512)
