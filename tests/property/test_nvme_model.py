"""A lawful host of the NVMe controller against a model that is a dictionary."""

from hypothesis import given, settings
from hypothesis import strategies as st

from vmio.drivers.nvme import NvmeDriver, memory_needed
from vmio.hardware.nvme.controller import BAR_BYTES, NvmeController
from vmio.hypervisor.hostcpu import HostCpu
from vmio.machine.bus import Bus
from vmio.machine.clock import Clock
from vmio.machine.storage import Image
from vmio.modes import Machine

SECTORS = 2048
REQUEST = st.tuples(st.sampled_from(("read", "write", "write", "zero")), st.integers(0, SECTORS - 1),
                    st.integers(1, 40) | st.just(1024), st.sampled_from((0, 512, 1024, 3584)), st.integers(0, 255))


@settings(deadline=None, max_examples=60)
@given(st.lists(REQUEST, max_size=25), st.randoms(use_true_random=False))
def test_reads_what_was_written(requests, random):
    host = Machine(memory_mib=8).host
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
