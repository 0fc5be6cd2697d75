"""4 KiB reads per second of wall-clock time through the emulated ATA disk, and the cost of many guests."""

from time import perf_counter

from bench import best
from vmio.workloads import disk

READS = 300


def measure():
    """PIO by string I/O, bus-master DMA, both against moving the same bytes in Python; then 1 to 256 guests."""
    image = disk.pattern(2)

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
    pio, dma, polled = (best(lambda p=p: seconds(**p)) for p in (
        {}, {"transfer": "dma"}, {"transfer": "multiple"}))

    def per_io(guests):
        start = perf_counter()
        disk.run(disk.DiskParams(bytes=8 * 4096, transfer="dma", guests=guests), image=image)
        return (perf_counter() - start) / (8 * guests)
    one, many = best(lambda: per_io(1), 9), best(lambda: per_io(256), 3)
    return [("ATA PIO by string I/O, 4 KiB reads per second", 1 / pio, "at least 15,000"),
            ("ATA READ MULTIPLE 16, 4 KiB reads per second", 1 / polled, ""),
            ("ATA bus-master DMA, 4 KiB reads per second", 1 / dma, "at least 15,000"),
            ("PIO over a bare copy of the bytes", pio / floor, ""),
            ("DMA over a bare copy of the bytes", dma / floor, ""),
            ("cost per I/O, 256 guests over 1 guest, set-up included", many / one, "at most 1.5")]
