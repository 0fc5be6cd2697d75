"""4 KiB reads per second of wall-clock time, emulated and split, and the cost of many guests."""

from time import perf_counter

from vmio.bench import best
from vmio.experiments import disk

READS = 2000


def measure():
    """PIO by string I/O, bus-master DMA, both against moving the same bytes in Python; then 1 to 256 guests."""
    image = disk.pattern(8)   # READS of 4 KiB, read from its start

    def seconds(**params):
        start = perf_counter()
        disk.run(disk.DiskParams(bytes=READS * 4096, **params), image=image)
        return (perf_counter() - start) / READS

    def copies():
        data, start = bytearray(4096), perf_counter()
        for i in range(READS):
            data[:] = image.read(i * 8 % 4096, 8)
        return (perf_counter() - start) / READS
    floor = best(copies)
    pio, multiple, dma, split, split_one = (best(lambda p=p: seconds(**p)) for p in (
        {}, {"transfer": "multiple"}, {"transfer": "dma"}, {"mode": "split", "queue_depth": 32}, {"mode": "split"}))

    def per_io(guests):
        start = perf_counter()
        disk.run(disk.DiskParams(bytes=8 * 4096, transfer="dma", guests=guests), image=image)
        return (perf_counter() - start) / (8 * guests)
    one, many = best(lambda: per_io(1), 9), best(lambda: per_io(256), 3)
    return [("ATA PIO by string I/O, READ MULTIPLE, 4 KiB reads a second", 1 / multiple, "at least 15,000"),
            ("ATA PIO by string I/O, an interrupt a sector", 1 / pio, ""),
            ("ATA bus-master DMA, 4 KiB reads a second", 1 / dma, "at least 15,000"),
            ("StorVSC to NVMe, 32 in flight, 4 KiB reads a second", 1 / split, "at least 15,000"),
            ("StorVSC to NVMe, 1 in flight, 4 KiB reads a second", 1 / split_one, ""),
            ("ATA DMA over a bare copy of the bytes", dma / floor, ""),
            ("StorVSC to NVMe over a bare copy of the bytes", split / floor, ""),
            ("ATA DMA, cost of an I/O with 256 guests over 1, set-up included", many / one, "at most 1.5")]
