from random import Random

from vmio.lab import expect


def check(gpa_range):
    random = Random(8)
    cases = [(0x1000, 4096), (0x1000, 4097), (0x1FFF, 2), (0x1FFF, 1), (0x12345, 512), (0xFFF000, 65_536)]
    cases += [(random.randrange(1 << 24), random.randrange(1, 40_000)) for _ in range(40)]
    for gpa, length in cases:
        answer = gpa_range(gpa, length)
        if answer is None:
            raise NotImplementedError
        count, offset, pages = answer
        touched = sorted({at // 4096 for at in (*range(gpa, gpa + length, 512), gpa + length - 1)})
        expect((count, offset, list(pages)), (length, gpa % 4096, touched), given=f"gpa {gpa:#x}, {length:,} bytes")
    return f"{len(cases)} ranges."
