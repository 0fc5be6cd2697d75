from collections.abc import Iterable

from vmio.lab import Wrong, attempted, described, expect, seeded


def check(gpa_range):
    random = seeded(8)
    cases = [(0x1000, 4096), (0x1000, 4097), (0x1FFF, 2), (0x1FFF, 1), (0x12345, 512), (0xFFF000, 65_536)]
    cases += [(random.randrange(1 << 24), random.randrange(1, 40_000)) for _ in range(40)]
    for gpa, length in cases:
        given = f"gpa {gpa:#x}, {length:,} bytes"
        answer = attempted(gpa_range(gpa, length), given, (tuple, list), "a tuple of three: count, offset, pages")
        if len(answer) != 3:
            raise Wrong(given, "a tuple of three: count, offset, pages", answer)
        count, offset, pages = answer
        if not isinstance(pages, Iterable):
            raise Wrong(given, "pages that can be listed", described(pages))
        touched = sorted({at // 4096 for at in (*range(gpa, gpa + length, 512), gpa + length - 1)})
        expect((count, offset, list(pages)), (length, gpa % 4096, touched), given)
    return f"{len(cases)} ranges."
