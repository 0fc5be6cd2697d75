"""The disk that a back end serves: virtio-blk's requests, carried out on a medium at once, one after the other.

A request is a header that the driver wrote, data in one direction, and a status byte for the driver to read.
Source: VIRTIO 1.2, 5.2 "Block Device".
"""

from collections.abc import Callable, Iterator

from vmio.machine.media.medium import SECTOR, STEP, Medium
from vmio.virtio.blk_wire import (BLK_SIZE, CONFIG, DISCARD, DISCARD_REQUEST, FLUSH, FLUSH_REQUEST, GET_ID, HEADER, ID_BYTES, IN, IOERR, MQ, OK, OUT, RANGE, RO,
                                  SEG_MAX, UNSUPP, WRITE_ZEROES, WRITE_ZEROES_REQUEST)
from vmio.virtio.queue import Chain, need_event

SEGMENTS = 126                  # pieces of a request's data, so that one without an indirect table fits into a ring of 128
RANGES, RANGE_SECTORS = 16, 1 << 20     # of one request to discard


class Disk:
    """`medium` behind `queues` rings; `say` is told of what the host can't read or write."""

    def __init__(self, medium: Medium, queues: int = 1, readonly: bool = False, say: Callable[[str], object] = print,
                 rule: Callable[[int, int, int], bool] = need_event) -> None:
        self.rule = rule
        self.medium, self.queues, self.readonly, self._say = medium, queues, readonly, say
        self.features = SEG_MAX | BLK_SIZE | FLUSH | (MQ if queues > 1 else 0) | (RO if readonly else DISCARD | WRITE_ZEROES)
        self.read_bytes = self.written_bytes = self.flushes = self.errors = 0

    def agreed(self, features: int) -> None:
        """Nothing depends on it here."""

    def config(self) -> bytes:
        """Return virtio_blk_config."""
        return CONFIG.pack(capacity=self.medium.sectors, seg_max=SEGMENTS, blk_size=SECTOR, num_queues=self.queues,
                           max_discard_sectors=RANGE_SECTORS, max_discard_seg=RANGES, discard_sector_alignment=1,
                           max_write_zeroes_sectors=RANGE_SECTORS, max_write_zeroes_seg=RANGES, write_zeroes_may_unmap=1)

    def configure(self, offset: int, data: bytes) -> None:
        """ValueError: no field of it may be written."""
        raise ValueError(f"configuration: {len(data)} bytes at {offset} can't be written; drivers may only read it")

    def serve(self, number: int, chain: Chain) -> int:
        """Carry out one request; return the bytes written into its chain.  A chain that has no room for a request breaks the queue."""
        if chain.size < HEADER.size or not chain.space:
            chain.queue.fail(f"a request of {chain.size} bytes with room for {chain.space}; {HEADER.size} and 1 are needed")
            return 0
        header = chain.fetch(0, HEADER.size)
        if header is None:
            return 0
        request = HEADER.parse(header)
        try:
            status, written = self._carry_out(request.type, request.sector, chain)
        except (ValueError, OSError) as error:
            self._say(f"request {request.type} at sector {request.sector}: {error}")
            status, written = IOERR, 0
        self.errors += status != OK
        chain.store(chain.space - 1, bytes([status]))
        return written + 1

    def _carry_out(self, kind: int, sector: int, chain: Chain) -> tuple[int, int]:
        """(status, bytes of data written into the chain) of one request."""
        if kind == IN:
            return self._read(sector, chain, chain.space - 1)
        if kind == GET_ID:
            name = (self.medium.serial or "vmio").encode()[:ID_BYTES].ljust(ID_BYTES, b"\0")[:chain.space - 1]
            chain.store(0, name)
            return OK, len(name)
        if kind == FLUSH_REQUEST:
            self.medium.flush()
            self.flushes += 1
            return OK, 0
        if kind not in (OUT, DISCARD_REQUEST, WRITE_ZEROES_REQUEST):
            return UNSUPP, 0
        if self.readonly:
            return IOERR, 0
        return self._write(sector, chain) if kind == OUT else self._discard(kind, chain), 0

    def _there(self, sector: int, size: int) -> bool:
        """Whether `size` bytes are whole sectors, and all of them are on the disk."""
        return not size % SECTOR and sector + size // SECTOR <= self.medium.sectors

    def _read(self, sector: int, chain: Chain, size: int) -> tuple[int, int]:
        if not self._there(sector, size):
            return IOERR, 0
        for at, count in _steps(size // SECTOR):
            if not chain.store(at * SECTOR, self.medium.read(sector + at, count)):
                return IOERR, 0
        self.read_bytes += size
        return OK, size

    def _write(self, sector: int, chain: Chain) -> int:
        size = chain.size - HEADER.size
        if not self._there(sector, size):
            return IOERR
        for at, count in _steps(size // SECTOR):
            data = chain.fetch(HEADER.size + at * SECTOR, count * SECTOR)
            if data is None:
                return IOERR
            self.medium.write(sector + at, data)
        self.written_bytes += size
        return OK

    def _discard(self, kind: int, chain: Chain) -> int:
        """All ranges are looked at before the first one is cleared."""
        size = chain.size - HEADER.size
        if not 0 < size <= RANGES * RANGE.size or size % RANGE.size:
            return IOERR
        data = chain.fetch(HEADER.size, size)
        if data is None:
            return IOERR
        ranges = [RANGE.parse(data, at) for at in range(0, size, RANGE.size)]
        for one in ranges:
            if one.flags & ~(kind == WRITE_ZEROES_REQUEST):            # bit 0: these zeros need take no room
                return UNSUPP
            if one.sectors > RANGE_SECTORS or not self._there(one.sector, one.sectors * SECTOR):
                return IOERR
        for one in ranges:
            self.medium.discard(one.sector, one.sectors)
        return OK


def _steps(sectors: int) -> Iterator[tuple[int, int]]:
    """(first, how many) of parts that are small enough to be held at once."""
    for at in range(0, sectors, STEP):
        yield at, min(STEP, sectors - at)
