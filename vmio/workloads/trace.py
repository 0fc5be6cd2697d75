"""Block traces: what a real Linux guest asked of its disk, in order.

A trace is CSV with a header `time_us,op,lba,sectors`: R read, W write, F flush;
addresses and lengths in 512-byte sectors.
"""

import csv
from random import Random
from typing import NamedTuple

SECTOR = 512
COLUMNS = ["time_us", "op", "lba", "sectors"]
MOST_SECTORS = 65_536  # one ATA command (LBA48) moves no more


class Request(NamedTuple):
    """One request: `op` is "R", "W" or "F"; `lba` and `sectors` in 512-byte sectors."""

    op: str
    lba: int
    sectors: int


def load(path):
    """The requests of a trace file.  ValueError names the file, the line and what is allowed."""
    try:
        with open(path, newline="") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"trace {path}: cannot be read ({error})") from None
    if not lines or lines[0] != COLUMNS:
        raise ValueError(f"trace {path}, line 1: header {','.join(lines[0]) if lines else '(empty file)'!r}; "
                         f"expected {','.join(COLUMNS)!r}")
    return [_request(path, number, line) for number, line in enumerate(lines[1:], 2)]


def _request(path, number, line):
    where = f"trace {path}, line {number}"
    if len(line) != len(COLUMNS):
        raise ValueError(f"{where}: {len(line)} columns; expected {len(COLUMNS)} ({','.join(COLUMNS)})")
    op = line[1]
    if op not in ("R", "W", "F"):
        raise ValueError(f"{where}: operation {op!r}; R (read), W (write) or F (flush)")
    try:
        time_us, lba, sectors = int(line[0]), int(line[2]), int(line[3])
    except ValueError:
        raise ValueError(f"{where}: {','.join(line)!r}; time_us, lba and sectors are whole numbers") from None
    if time_us < 0 or lba < 0 or (op != "F" and not 1 <= sectors <= MOST_SECTORS):
        raise ValueError(f"{where}: time {time_us}, lba {lba}, sectors {sectors}; "
                         f"time and lba from 0, 1 to {MOST_SECTORS} sectors")
    return Request(op, lba, sectors if op != "F" else 0)


def sequential(total_bytes, block_bytes):
    """Reads of `block_bytes` one after the other, `total_bytes` in all (the last one may be shorter)."""
    if block_bytes <= 0 or block_bytes % SECTOR or block_bytes // SECTOR > MOST_SECTORS:
        raise ValueError(f"block {block_bytes}: a multiple of {SECTOR} up to {MOST_SECTORS * SECTOR} bytes")
    if total_bytes <= 0 or total_bytes % SECTOR:
        raise ValueError(f"bytes {total_bytes}: a positive multiple of {SECTOR}")
    step, end = block_bytes // SECTOR, total_bytes // SECTOR
    return [Request("R", lba, min(step, end - lba)) for lba in range(0, end, step)]


def mixed(count, block_bytes, read_percent=100, random=False, span_bytes=32 << 20):
    """`count` requests of `block_bytes`: so many reads in a hundred, evenly spread, the others writes.

    One after the other from LBA 0, starting again at `span_bytes`, or at `random`
    places of it - the same ones each time.
    """
    step, places = block_bytes // SECTOR, span_bytes // block_bytes
    if count < 1 or not 0 <= read_percent <= 100 or not 1 <= step <= MOST_SECTORS or block_bytes % SECTOR or not places:
        raise ValueError(f"{count} requests of {block_bytes} bytes, {read_percent} % reads, on {span_bytes} bytes: at least one, "
                         f"a multiple of {SECTOR} up to {MOST_SECTORS * SECTOR} and to the disk, 0 to 100")
    chance = Random(count)
    return [Request("R" if (n + 1) * read_percent // 100 > n * read_percent // 100 else "W",
                    (int(chance.random() * places) if random else n % places) * step, step) for n in range(count)]


def middle(requests, most, most_bytes):
    """Up to `most` requests around the middle one that move up to `most_bytes` in all; one longer than that is cut to it."""
    first = last = len(requests) // 2
    left, grows = most_bytes // SECTOR - requests[first].sectors, True
    if left < 0:
        return [requests[first]._replace(sectors=most_bytes // SECTOR)]
    while grows and last - first + 1 < most:
        grows = False
        for at in (first - 1, last + 1):
            if 0 <= at < len(requests) and requests[at].sectors <= left and last - first + 1 < most:
                left -= requests[at].sectors
                first, last, grows = min(first, at), max(last, at), True
    return requests[first:last + 1]


def check_fits(requests, sectors, name="trace"):
    """ValueError for the first request past a disk of `sectors`, with its line in the trace's file."""
    for number, request in enumerate(requests, 2):
        if request.lba + request.sectors > sectors:
            raise ValueError(f"{name}, line {number}: LBA {request.lba} + {request.sectors} sectors; "
                             f"the disk ends at {sectors}")


def payload(row, sectors):
    """What write request `row` (0-based) stores: its number, 64-bit little-endian, 64 times in each sector."""
    return row.to_bytes(8, "little") * (64 * sectors)
