from vmio.lab import expect, seeded
from vmio.lessons.boot_a_real_linux import recorded
from vmio.lessons.boot_a_real_linux.plans import DISKS, POLLS

MOST = 2000         # of the same access in a row: enough to see it, and soon gone through


def expanded(runs):
    return [(run.instruction, run.address) for run in runs for _ in range(min(run.times, MOST))]


def made(number):
    """Accesses in which one port is polled, and another read more often, once at a time."""
    random = seeded(number)
    often, rarely = random.sample(range(0x40, 0x400, 4), 2)
    row = random.randrange(5, 30)
    found = [access for _ in range(3 * row) for access in (("OUT", often + 1), ("IN", often))]
    at = random.randrange(len(found))
    return found[:at] + [("IN", rarely)] * row + found[at:] + [("OUT", often)] * (2 * row), rarely


def longest(accesses):
    """The right answer: runs are compared by their length alone, the first of the longest wins."""
    rows = []
    for access in accesses:
        if rows and rows[-1][0] == access:
            rows[-1][1] += 1
        else:
            rows.append([access, 1])
    reads = [row for row in rows if row[0][0] == "IN"]
    return max(reads, key=lambda row: row[1])[0][1]


def check(polled):
    expect(polled([("IN", 0x64), ("IN", 0x64), ("OUT", 0x60), ("IN", 0x64), ("IN", 0x71)]), 0x64, given="five accesses")
    for number in range(4):
        accesses, port = made(number)
        expect(polled(list(accesses)), port, given=f"{len(accesses)} accesses, in which port {port:#x} is polled")
    for name, what in ((POLLS, "a PC of 1996"), (DISKS, "four disks")):
        accesses = expanded(recorded.of(name).runs)
        expect(polled(list(accesses)), longest(accesses), given=f"the first {len(accesses):,} accesses of Linux on {what}")
    run = max(recorded.of(POLLS).runs, key=lambda run: run.times)
    return f"Linux on a PC of 1996 reads port {run.address:X}h {run.times:,} times in a row."
