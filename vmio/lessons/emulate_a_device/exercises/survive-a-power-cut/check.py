from vmio import Image, VolatileCache
from vmio.lab import Wrong, expect_at_most, seeded

SECTORS = 64
VERSIONS = ((7, 3), (20, 1), (33, 8), (1, 2), (50, 14), (9, 5))      # (LBA, sectors)


def pointer(lba):
    return lba.to_bytes(8, "little").ljust(512, b"\0")


class Watched:
    """A disk of which each step is looked at: what might be left if the power went now?"""

    def __init__(self):
        self.cache = VolatileCache(Image.open(bytes(512 * SECTORS)))
        self.versions = {}                  # what sector 0 may say, and what must then be there: (LBA, data)
        self.steps = []

    def write(self, lba, data):
        self.cache.write(lba, data)
        self.look(f"write of sectors {lba} to {lba + len(data) // 512 - 1}")

    def flush(self):
        self.cache.flush()
        self.look("flush")

    def look(self, step):
        self.steps.append(step)
        given = f"power cut after step {len(self.steps)}, a {step}"
        for said in self.cache.possible(0):
            if said not in self.versions:
                raise Wrong(given, "sector 0 to point to the old or the new version", f"{said[:8].hex()} there")
            lba, data = self.versions[said]
            for at in range(len(data) // 512):
                if set(self.cache.possible(lba + at)) != {data[512 * at:][:512]}:
                    raise Wrong(given, f"all data of the version at sector {lba}, to which sector 0 may point",
                                f"sector {lba + at}, which may have been lost")


def check(replace):
    random, most = seeded(3), 0
    disk = Watched()
    old = 40, random.randbytes(512 * 2)
    disk.cache.write(*old)
    disk.cache.write(0, pointer(40))
    disk.cache.flush()
    for lba, sectors in VERSIONS:
        new = lba, random.randbytes(512 * sectors)
        disk.versions, disk.steps = {pointer(old[0]): old, pointer(lba): new}, []
        replace(disk, *new)
        if not disk.steps:
            raise NotImplementedError
        given = f"power cut after replace(disk, {lba}, {sectors} sectors) has returned"
        if set(disk.cache.possible(0)) != {pointer(lba)}:
            raise Wrong(given, f"sector 0 to point to {lba}", f"it may still point to {old[0]}")
        flushes = disk.steps.count("flush")
        expect_at_most(flushes, 2, "flushes", given=given)
        old, most = new, max(most, flushes)
    return f"Whole after any power cut, with {most} flushes a version."


class Counting:
    """A disk that only counts."""

    def __init__(self):
        self.writes = self.flushes = 0

    def write(self, lba, data):
        self.writes += 1

    def flush(self):
        self.flushes += 1


def cost(replace):
    """One version of 3 sectors"""
    disk = Counting()
    replace(disk, 7, bytes(512 * 3))
    return {"writes": disk.writes, "flushes": disk.flushes}
