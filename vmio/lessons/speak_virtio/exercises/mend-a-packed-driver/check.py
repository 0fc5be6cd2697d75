import struct

from vmio import virtqueue
from vmio.lab import Wrong, seeded

SIZES = (4, 5, 8)
DRIVER, DEVICE = 0x1000, 0x1100
CHAINS = 40


class Memory:
    def __init__(self):
        self.bytes = bytearray(0x1200)

    def read(self, address, length):
        return bytes(self.bytes[address:address + length])

    def write(self, address, data):
        self.bytes[address:address + len(data)] = data


class Ring:
    """The driver's ring; before one of its calls the device looks."""

    def __init__(self, size):
        self.size, self.next, self.wrap, self.memory = size, 0, 1, Memory()
        self.device = virtqueue.PackedQueue(self.memory, size, 0, DRIVER, DEVICE)
        self.looks_before, self.calls, self.taken = None, 0, []

    def _call(self):
        if self.calls == self.looks_before:
            self.look()
        self.calls += 1

    def look(self):
        """The device takes what there is, and gives it back at once."""
        while (chain := self.device.take()) is not None:
            self.taken.append(([(*piece, False) for piece in chain.readable] + [(*piece, True) for piece in chain.writable], chain.id))
            self.device.put(chain, 0)

    def describe(self, place, address, length, id):
        self._call()
        self.memory.write(16 * place, struct.pack("<QIH", address, length, id))

    def hand_over(self, place, wrap, more, writable):
        self._call()
        flags = (1 if more else 0) | (2 if writable else 0) | (0x80 if wrap else 0x8000)
        self.memory.write(16 * place + 14, struct.pack("<H", flags))


def said(chain):
    return ", ".join(f"{length} bytes at {address:#x}{' to write' if writable else ''}" for address, length, writable in chain)


def check(lend):
    random, looks = seeded(5), 0
    for size in SIZES:
        for before in (None, 0, 1, 2, 3, 4, 5, 6):
            ring = Ring(size)
            for number in range(CHAINS):
                count = random.randrange(1, min(size, 3) + 1)
                pieces = [(0x10_000 * (number + 1) + 0x100 * n, 16 + n, n > 0 and random.random() < 0.9) for n in range(count)]
                pieces.sort(key=lambda piece: piece[2])
                ring.calls, ring.looks_before, ring.taken = 0, before, []
                if lend(ring, pieces, number % size) is ...:
                    raise NotImplementedError
                ring.look()
                looks += 1
                when = "the device looks when all is done" if before is None else f"the device looks before your call {before + 1}"
                given = f"a ring of {size}, chain {number + 1} of {count} pieces, {when}"
                if ring.device.broken is not None:
                    raise Wrong(given, said(pieces), f"a broken queue: {ring.device.broken}")
                if ring.taken != [(pieces, number % size)]:
                    got = "nothing" if not ring.taken else " and then ".join(said(chain) for chain, _ in ring.taken)
                    raise Wrong(given, said(pieces), got)
    return f"{looks:,} chains, the device looking at every place, and each was taken whole."
