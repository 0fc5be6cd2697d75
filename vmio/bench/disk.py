"""4 KiB reads per second of processor time, in every mode, of a disk that is up: set-up is a benchmark of its own."""

from typing import Any

from vmio.bench import Row, ratios, row, sampler, turns
from vmio.bench.steady import IMAGE, Steady

SUBJECTS: tuple[tuple[str, dict[str, Any], str], ...] = (   # (what, parameters, reads per CPU second that the design asks for)
    ("ATA PIO, 2-byte words", dict(string=False), ""),
    ("ATA PIO by string I/O, an interrupt a sector", {}, ""),
    ("ATA PIO by string I/O, READ MULTIPLE", dict(transfer="multiple"), ""),
    ("ATA bus-master DMA", dict(transfer="dma"), "at least 20,000"),
    ("StorVSC to NVMe, 1 in flight", dict(mode="split"), "at least 10,000"),
    ("StorVSC to NVMe, 32 in flight", dict(mode="split", queue_depth=32), "at least 25,000"),
    ("StorVSC to NVMe, 32 in flight, polled", dict(mode="split", queue_depth=32, polled=True), ""),
    ("virtio to NVMe, 1 in flight", dict(mode="split", dialect="virtio"), ""),
    ("virtio to NVMe, 32 in flight", dict(mode="split", dialect="virtio", queue_depth=32), "at least 20,000"),
    ("virtio to NVMe, 32 in flight, packed", dict(mode="split", dialect="virtio", virtqueue="packed", queue_depth=32), ""),
    ("NVMe passed through, 1 in flight", dict(mode="passthrough"), ""),
    ("NVMe passed through, 32 in flight", dict(mode="passthrough", queue_depth=32), ""),
    ("NVMe passed through, 32 in flight, each buffer mapped", dict(mode="passthrough", queue_depth=32, iommu="strict"), ""),
    ("NVMe passed through, 32 in flight, polled", dict(mode="passthrough", queue_depth=32, polled=True), ""),
    ("NVMe passed through, 4 guests polling", dict(mode="passthrough", guests=4, polled=True), ""),
)


def copies(count: int) -> None:
    """The floor: the bytes of `count` reads are moved, and nothing else."""
    data = bytearray(4096)
    for _ in range(count):
        data[:] = IMAGE.read(0, 8)


def measure() -> list[Row]:
    """Return each mode's rate, and what a read costs over a bare copy of its bytes."""
    ns = turns({"copy": sampler(copies)} | {what: sampler(Steady(**params)) for what, params, _ in SUBJECTS})
    return ([row(f"{what}, 4 KiB reads a second", [1e9 / each for each in ns[what]], target) for what, _, target in SUBJECTS]
            + [row(f"{what}: over a bare copy", ratios(ns[what], ns["copy"])) for what, _, _ in SUBJECTS])
