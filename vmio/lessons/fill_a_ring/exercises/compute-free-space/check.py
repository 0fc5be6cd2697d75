from vmio import FlatMemory, RingFull, RingWriter, format_ring, packets, ring
from vmio.lab import Wrong, a_whole_number, expect, seeded


def fits(write, read, pages, total):
    """Does a real ring take a record of `total` bytes?"""
    memory = FlatMemory(pages)
    format_ring(memory)
    memory.store32(0, write)
    memory.store32(4, read)
    try:
        RingWriter(memory).send(packets.INBAND, bytes(total - ring.OVERHEAD))
    except (RingFull, ValueError):
        return False
    return True


def check(largest_record):
    random = seeded(8)
    cases = [(0, 0, 2), (4088, 4088, 2), (4088, 0, 2), (8, 16, 2), (16, 40, 2), (8, 40, 2), (0, 32, 2), (0, 40, 2),
             (4064, 4072, 3), (8184, 0, 3), (0, 8, 3)]
    cases += [(8 * random.randrange(512 * pages), 8 * random.randrange(512 * pages), pages + 1)
              for pages in (1, 2, 3, 5) for _ in range(10)]
    for write, read, pages in cases:
        size, given = (pages - 1) * 4096, f"write {write}, read {read}, size {(pages - 1) * 4096}"
        used = (write - read) % size
        got, most = a_whole_number(largest_record(write, read, size), given), size - used - 8
        expect(got, most if most >= ring.OVERHEAD else 0, given=given)
        if got and not fits(write, read, pages, got) or fits(write, read, pages, max(got + 8, ring.OVERHEAD)):
            raise Wrong(given, "what a RingWriter says", got)
    return f"{len(cases)} rings: wrapped, empty, and full but for 8 bytes."
