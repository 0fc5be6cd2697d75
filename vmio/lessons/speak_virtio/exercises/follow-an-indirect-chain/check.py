import struct

from vmio import virtqueue
from vmio.lab import Wrong, expect, seeded

SIZE, TABLE, BUFFERS, DRIVER, DEVICE = 16, 0x1000, 0x10_0000, 0x4000, 0x5000


class Memory:
    """Bytes by address; buffers are never looked at."""

    def __init__(self):
        self.bytes = bytearray(0x6000)

    def read(self, address, length):
        if address + length > len(self.bytes):
            raise Wrong(f"read({address:#x}, {length})", "an address of a table", f"{address:#x}", "Buffers are not followed.")
        return bytes(self.bytes[address:address + length])

    def write(self, address, data):
        self.bytes[address:address + len(data)] = data


def put(memory, table, places, rows, last=0, next_after_last=0):
    """Write a chain of `rows` (address, length, flags) into these places of a table."""
    for n, (place, (address, length, flags)) in enumerate(zip(places, rows)):
        more = n + 1 < len(rows)
        memory.write(table + 16 * place, struct.pack("<QIHH", address, length, flags | (1 if more else last), places[n + 1] if more else next_after_last))


def pieces(random, count):
    """A header, data, a status, each somewhere."""
    return [(BUFFERS + 0x1000 * n + random.randrange(512), 16 if not n else random.choice((1, 512, 4096)), 2 if n else 0) for n in range(count)]


def case(random, kind):
    """(memory, head, what it is) of one chain."""
    memory, count = Memory(), random.randrange(2, 9)
    places, rows = random.sample(range(SIZE), count), pieces(random, count)
    if kind == "direct":
        put(memory, 0, places, rows)
    elif kind == "a loop":
        put(memory, 0, places, rows, last=1, next_after_last=places[random.randrange(count)])
    elif kind == "outside":
        put(memory, 0, places, rows, last=1, next_after_last=SIZE + random.randrange(100))
    else:
        inner = [0, *random.sample(range(1, count), count - 1)]
        put(memory, TABLE, inner, rows, **{"indirect loop": dict(last=1, next_after_last=0), "indirect, outside": dict(last=1, next_after_last=count)}.get(kind, {}))
        if kind == "twice indirect":
            memory.write(TABLE + 16 * inner[-1], struct.pack("<QIHH", TABLE, 16 * count, 4, 0))
        put(memory, 0, places[:1], [(TABLE, 16 * count, 4)])
    return memory, places[0]


def follow_right(memory, head):
    """What the course's own queue makes of it."""
    memory.write(DRIVER, struct.pack("<HHH", 0, 1, head))
    queue = virtqueue.SplitQueue(memory, SIZE, 0, DRIVER, DEVICE, indirect=True)
    chain = queue.take()
    if chain is None:
        return None
    return [(*piece, False) for piece in chain.readable] + [(*piece, True) for piece in chain.writable]


KINDS = ("direct", "indirect", "a loop", "outside", "indirect", "indirect loop", "indirect, outside", "twice indirect")


def check(follow):
    random, chains = seeded(22), 0
    for kind in KINDS * 12:
        memory, head = case(random, kind)
        right = follow_right(memory, head)
        got = follow(memory.read, SIZE, head)
        if got is ...:
            raise NotImplementedError
        if isinstance(got, list):
            got = [tuple(row) if isinstance(row, (list, tuple)) else row for row in got]
        expect(got, right, f"{kind}, head {head}")
        chains += 1
    return f"{chains} chains, 5 of 8 kinds hostile."
