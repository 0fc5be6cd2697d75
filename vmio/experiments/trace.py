"""Requests of a disk workload: those of a real guest, recorded (`load`), and synthetic ones."""

from random import Random

from vmio.experiments.traces.reader import load
from vmio.experiments.traces.request import MAX_SECTORS, SECTOR, Request, Requests, Trace

__all__ = ["MAX_SECTORS", "SECTOR", "Request", "Trace", "check_fits", "load", "middle", "mixed", "payload", "sequential"]


def sequential(total_bytes: int, block_bytes: int) -> list[Request]:
    """Reads of `block_bytes` one after the other, `total_bytes` in all (the last one may be shorter)."""
    if block_bytes <= 0 or block_bytes % SECTOR or block_bytes // SECTOR > MAX_SECTORS:
        raise ValueError(f"block {block_bytes}: a multiple of {SECTOR} up to {MAX_SECTORS * SECTOR} bytes")
    if total_bytes <= 0 or total_bytes % SECTOR:
        raise ValueError(f"bytes {total_bytes}: a positive multiple of {SECTOR}")
    step, end = block_bytes // SECTOR, total_bytes // SECTOR
    return [Request("R", lba, min(step, end - lba)) for lba in range(0, end, step)]


def mixed(count: int, block_bytes: int, read_percent: int = 100, random: bool = False,
          span_bytes: int = 32 << 20) -> list[Request]:
    """`count` requests of `block_bytes`: so many reads in a hundred, evenly spread, the others writes.

    One after the other from LBA 0, starting again at `span_bytes`, or at `random`
    places of it - the same ones each time.
    """
    step, places = block_bytes // SECTOR, span_bytes // block_bytes
    if count < 1 or not 0 <= read_percent <= 100 or not 1 <= step <= MAX_SECTORS or block_bytes % SECTOR or not places:
        raise ValueError(f"{count} requests of {block_bytes} bytes, {read_percent} % reads, on {span_bytes} bytes: at least one, "
                         f"a multiple of {SECTOR} up to {MAX_SECTORS * SECTOR} and to the disk, 0 to 100")
    chance = Random(count)
    return [Request("R" if (n + 1) * read_percent // 100 > n * read_percent // 100 else "W",
                    (int(chance.random() * places) if random else n % places) * step, step) for n in range(count)]


def middle(requests: Requests, max_requests: int, max_bytes: int) -> Requests:
    """Up to `max_requests` requests around the middle one that move up to `max_bytes` in all; one longer than that is cut to it."""
    first = last = len(requests) // 2
    left, grows = max_bytes // SECTOR - requests[first].sectors, True
    if left < 0:
        return [requests[first]._replace(sectors=max_bytes // SECTOR)]
    while grows and last - first + 1 < max_requests:
        grows = False
        for at in (first - 1, last + 1):
            if 0 <= at < len(requests) and requests[at].sectors <= left and last - first + 1 < max_requests:
                left -= requests[at].sectors
                first, last, grows = min(first, at), max(last, at), True
    return requests[first:last + 1]


def check_fits(requests: Requests, sectors: int, name: str = "trace") -> None:
    """ValueError for the first request past a disk of `sectors`, with its line in the trace's file if it came from one."""
    for row, request in enumerate(requests):
        if request.lba + request.sectors > sectors:
            where = f"{name}, line {requests.lines[row]}" if isinstance(requests, Trace) else f"{name}, request {row}"
            raise ValueError(f"{where}: LBA {request.lba} + {request.sectors} sectors; "
                             f"the disk ends at {sectors}")


def check_times(requests: Requests, name: str = "trace") -> None:
    """ValueError unless the requests have times, and in order."""
    if not isinstance(requests, Trace):
        raise ValueError(f"timed: {name} have no times; only a trace has")
    times = requests.times_ns
    for row in range(1, len(times)):
        if times[row] < times[row - 1]:
            raise ValueError(f"{name}, line {requests.lines[row]}: it comes {times[row - 1] - times[row]} ns before the line "
                             "above; with --timed a trace is in order of time")


def payload(row: int, sectors: int) -> bytes:
    """Return what write request `row` (0-based) stores: its number, 64-bit little-endian, 64 times in each sector."""
    return row.to_bytes(8, "little") * (64 * sectors)
