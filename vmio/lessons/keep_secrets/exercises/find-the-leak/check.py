from vmio.lab import counted, expect, seeded

BYTES = 2048
OTHERS = b"somebody else's data"


def old(random):
    """A slot that is full of somebody else's data, and noise between."""
    return bytearray(b"".join(OTHERS + random.randbytes(12) for _ in range(BYTES // 32)))


def lines(data):
    """How many lines of somebody else's are in it."""
    return bytes(data).count(OTHERS)


def check(Slot):
    random, filled, taken = seeded(17), 0, 0
    for length in (0, 1, 511, 512, 2047, 2048, random.randrange(2, 2000)):
        shared, data, before = old(random), random.randbytes(length), None
        before = bytes(shared)
        Slot(shared).fill(data)
        given = f"fill, {length} bytes"
        expect(len(shared), BYTES, f"the slot's length after {given}")
        expect(bytes(shared[:length]), data, given)
        expect(lines(shared[length:]), 0, f"lines of somebody else's in the slot after {given}")
        same = sum(one == other for one, other in zip(shared[length:], before[length:]))
        expect(same <= max(8, (BYTES - length) // 16), True, f"{given}: the rest of the slot is another than before")
        filled += 1
    for length, written in ((512, 512), (512, 100), (512, 0), (2048, 1), (2048, 2048), (1, 0), (0, 0), (512, 513), (512, 1 << 31), (100, -1), (2048, 4096)):
        shared, own = old(random), random.randbytes(length)
        good = max(0, min(written, length))
        shared[:good] = new = random.randbytes(good)
        buffer = bytearray(own)
        Slot(shared).take(buffer, written)
        given = f"take, a buffer of {length} bytes, {written} written"
        expect(len(buffer), length, f"the buffer's length after {given}")
        expect(lines(buffer), 0, f"lines of somebody else's in the buffer after {given}")
        expect(bytes(buffer), new + own[good:], given)
        taken += 1
    return f"{counted(filled, 'slots')} filled and {taken} taken from, and nothing of anybody else's got out."
