"""Random legal and illegal commands for the NVMe controller, on the door and on a live QEMU, answer by answer.

A program is a list of commands that hypothesis made up, each sent when the one before was answered.  Compared are
completion entries (status, result, queue head), the data in memory, the interrupt pin and CSTS.

Left out, because they differ on purpose (docs/differences.md): DMA outside RAM, FORMAT, COPY, DOORBELL BUFFER CONFIG,
bit buckets in an SGL, and two slips of QEMU's beside which the programs say what they are.
"""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvme_pair import ACQ, ADMIN, AQA, ASQ, BAR, BUFFER, CC, CSTS, INTMC, INTMS, IO, LISTS, PAGES, Pair, entry
from qemu import fixed

pytestmark = [pytest.mark.qemu, pytest.mark.usefixtures("installed")]
SECTORS, PAGE = 2048, 4096
DISK = b"".join(struct.pack("<64Q", *[(lba * 0x9E3779B97F4A7C15 + i * 0x0101010101010101) % (1 << 64) for i in range(64)])
                for lba in range(SECTORS))


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A file for QEMU to write to."""
    return tmp_path_factory.mktemp("nvme") / "disk.img"


def play(drive, program):
    """Run the commands on both machines; in the end all of the buffers and the whole disk must be the same."""
    drive.write_bytes(DISK)
    pair = Pair(DISK, drive)
    try:
        pair.enable()
        for queue, sqe, memory, look in program:
            pair.command(queue, sqe, memory, look)
        pair.same([f"b64read {LISTS} {BUFFER + PAGES * PAGE - LISTS}"], "memory")
        for lba in range(0, SECTORS, 1024):
            lists = struct.pack("<127Q", *(BUFFER + PAGE * n for n in range(1, 128)))
            pair.command(IO, entry(2, 1, BUFFER, LISTS, d10=lba, d12=1023), [(LISTS, lists)], [(BUFFER, 128 * PAGE)])
    finally:
        pair.close()


def program(*steps, most):
    return st.lists(st.one_of(*steps), min_size=most // 2, max_size=most)


dword = st.one_of(st.integers(0, 8), st.sampled_from([0xFF, 0x100, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF]),
                  st.integers(0, 0xFFFF_FFFF))
nsid = st.sampled_from([1, 1, 1, 0, 2, 255, 256, 257, 0xFFFF_FFFE, 0xFFFF_FFFF])
page_of_buffer = st.integers(0, PAGES - 140).map(lambda n: BUFFER + PAGE * n)
offset = st.one_of(st.just(0), st.sampled_from([4, 8, 512, 0x800, 0xFFC]), st.integers(0, 1023).map(lambda n: 4 * n))

# --- admin commands ---------------------------------------------------------------------


def one_page(opcode, nsid=st.just(0), **dwords):
    """A command whose data is at most a page, anywhere in two pages."""
    names = list(dwords)

    def make(nsid, at, shift, other, *values):
        return (ADMIN, entry(opcode, nsid, at + shift, other, **dict(zip(names, values))), [],
                [(at, PAGE), (other, PAGE)])
    return st.builds(make, nsid, page_of_buffer, offset, page_of_buffer, *dwords.values())


def no_data(opcode, nsid=st.just(0), **dwords):
    names = list(dwords)
    return st.builds(lambda nsid, *values: (ADMIN, entry(opcode, nsid, **dict(zip(names, values))), [], []), nsid,
                     *dwords.values())


identify = one_page(0x06, nsid, d10=st.one_of(st.integers(0, 0x20), st.integers(0, 0xFF), dword),
                    d11=st.one_of(st.just(0), st.sampled_from([1 << 24, 2 << 24, 3 << 24, 0xFF << 24]), dword))
log_page = one_page(
    0x02, nsid, d10=st.builds(lambda page, keep, dwords: page | keep << 15 | dwords << 16, st.integers(0, 8),
                              st.integers(0, 1), st.sampled_from([0, 1, 3, 15, 127, 255, 511, 1023])),
    d12=st.sampled_from([0, 0, 0, 4, 64, 508, 512, 1024, 4092, 4096, 2]))
FEATURES = [1, 2, 4, 5, 6, 7, 8, 9, 0xA, 0xB, 0xE, 0x16, 0x19]
feature = st.one_of(st.sampled_from(FEATURES), st.integers(0, 0xFF))
get_features = one_page(0x0A, nsid, d10=st.builds(lambda id, select: id | select << 8, feature, st.integers(0, 7)),
                        d11=st.one_of(st.sampled_from([0, 1, 64, 65, 1 << 16, 1 << 20, 2 << 20, 0xFF]), dword))
THRESHOLD, EVENTS = 4, 0xB
set_features = one_page(
    0x09, st.sampled_from([0, 0, 0, 1, 0xFFFF_FFFF, 2, 300]),
    d10=st.builds(lambda id, save: id | save << 31, feature, st.sampled_from([0, 0, 0, 1])),
    d11=st.one_of(st.sampled_from([0, 1, 2, 0x3F003F, 0xFFFF, 0x100, 0x200, 0x157, 0x10_0157, 0x20_0157, 0x1_0157]), dword))
queue_id = st.sampled_from([0, 2, 3, 4, 63, 64, 65, 0xFFFF])
ring = st.builds(lambda id, entries: id | entries << 16, queue_id, st.sampled_from([0, 1, 3, 2047, 2048, 0xFFFF]))
ring_page = st.sampled_from([BUFFER + 150 * PAGE, BUFFER + 151 * PAGE, BUFFER + 151 * PAGE + 8, 0])


def make_queue(opcode, d11):
    return st.builds(lambda at, d10, d11: (ADMIN, entry(opcode, 0, at, d10=d10, d11=d11), [], []), ring_page, ring, d11)


create_cq = make_queue(0x05, st.builds(lambda flags, vector: flags | vector << 16, st.sampled_from([1, 1, 3, 3, 2, 0]),
                                       st.sampled_from([0, 0, 0, 1, 64, 65, 0xFFFF])))
create_sq = make_queue(0x01, st.builds(lambda flags, cq: flags | cq << 16, st.sampled_from([1, 1, 3, 7, 0]),
                                       st.sampled_from([0, 1, 1, 2, 3, 65])))
delete = st.one_of(no_data(0x00, d10=queue_id), no_data(0x04, d10=st.sampled_from([0, 1, 2, 3, 4, 64, 65, 0xFFFF])))
abort = no_data(0x08, d10=st.builds(lambda sq, id: sq | id << 16, queue_id, st.integers(0, 40)))
LEFT_OUT = {0x0C, 0x7C, 0x80, 0x00, 0x04}      # event requests have a test of their own; deletion has ids to keep
other = st.builds(lambda opcode, nsid, d10, flags: (ADMIN, entry(opcode, nsid, BUFFER, d10=d10, flags=flags), [], [(BUFFER, PAGE)]),
                  st.integers(0, 0xFF).filter(lambda opcode: opcode not in LEFT_OUT), nsid, st.integers(0, 3),
                  st.sampled_from([0, 0, 1, 2, 0x40, 0x80, 0xC0]))


@fixed
@given(program(identify, identify, log_page, no_data(0x06, nsid, d10=st.integers(0, 4)), other, most=40))
def test_identify_and_logs(drive, program):
    play(drive, program)


@fixed
@given(program(get_features, get_features, set_features, set_features, log_page, most=60))
def test_features(drive, program):
    play(drive, program)


@fixed
@given(program(create_cq, create_cq, create_sq, delete, abort, other, most=60))
def test_queues(drive, program):
    play(drive, program)


# --- I/O commands ------------------------------------------------------------------------

FLUSH, WRITE, READ, COMPARE, ZEROES, DSM, VERIFY = 0, 1, 2, 5, 8, 9, 12
lba = st.one_of(st.integers(0, SECTORS), st.integers(0, 40), st.sampled_from([
    SECTORS - 1, SECTORS - 2, SECTORS, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 63, (1 << 64) - 1]))
transfer = st.sampled_from([READ, READ, WRITE, COMPARE])
sectors = st.one_of(st.integers(1, 40), st.integers(1, 8), st.sampled_from([1023, 1024, 1025, 65536]))


def fill(seed, pages):
    """[(address, bytes)] of some pages with a pattern of their own."""
    return [(at, bytes((seed * 7 + n * 13 + (at >> 12)) & 0xFF for n in range(64)) * 64) for at in dict.fromkeys(pages)]


def by_prp(opcode, nsid, lba, sectors, pages, shift, cut, wrong, seed, control):
    """Data in any pages; the list begins `cut` entries before a page's end, and may have an entry that isn't aligned."""
    length = min(sectors, 1024) * 512
    number = -(-(length + shift) // PAGE)
    pages = (pages * -(-number // len(pages)))[:number]
    rest, memory = list(pages[1:]), fill(seed, pages)
    if wrong is not None and rest:
        rest[wrong % len(rest)] |= 8
    prp2 = rest[0] if len(rest) == 1 else 0
    if len(rest) > 1:
        at = prp2 = LISTS + PAGE - 8 * cut
        while rest:
            room = (PAGE - at % PAGE) // 8
            if len(rest) <= room:
                memory.append((at, struct.pack(f"<{len(rest)}Q", *rest)))
                break
            following = (at & -PAGE) + 2 * PAGE
            memory.append((at, struct.pack(f"<{room}Q", *rest[:room - 1], following)))
            at, rest = following, rest[room - 1:]
    sqe = entry(opcode, nsid, pages[0] + shift, prp2, d10=lba & 0xFFFF_FFFF, d11=lba >> 32, d12=sectors - 1 | control)
    return IO, sqe, memory, [(page, PAGE) for page in dict.fromkeys(pages)][:16]


some_pages = st.lists(page_of_buffer, min_size=1, max_size=6)
CONTROL = [0, 0, 0, 0, 1 << 30, 1 << 31]        # force unit access, limited retry
prp = st.builds(by_prp, transfer, st.one_of(st.just(1), st.just(1), nsid), lba, sectors, some_pages, offset,
                st.sampled_from([1, 2, 3, 4, 8, 512]), st.one_of(st.none(), st.none(), st.none(), st.integers(0, 40)),
                st.integers(0, 255), st.sampled_from(CONTROL))


def no_transfer(opcode, nsid, lba, sectors):
    return IO, entry(opcode, nsid, d10=lba & 0xFFFF_FFFF, d11=lba >> 32, d12=sectors - 1), [], []


def dataset(nsid, ranges, deallocate):
    data = b"".join(struct.pack("<IIQ", 0, count, lba) for lba, count in ranges)
    return IO, entry(DSM, nsid, BUFFER, d10=len(ranges) - 1, d11=deallocate), [(BUFFER, data)], []


simple = st.one_of(st.builds(no_transfer, st.sampled_from([FLUSH, ZEROES, VERIFY]), nsid, lba, sectors),
                   st.builds(dataset, nsid, st.lists(st.tuples(lba, st.sampled_from([0, 1, 8, 100])), min_size=1, max_size=5),
                             st.sampled_from([0, 1, 2])))
unknown = st.builds(lambda opcode, nsid, flags: (IO, entry(opcode, nsid, BUFFER, flags=flags), [], [(BUFFER, PAGE)]),
                    st.integers(0, 0xFF).filter(lambda opcode: opcode != 0x19), nsid, st.sampled_from([0, 0, 1, 2]))


@fixed
@given(program(prp, prp, prp, simple, unknown, log_page, most=40))
def test_reads_and_writes_by_prp(drive, program):
    play(drive, program)


def by_sgl(opcode, lba, sectors, parts, kinds, chain, psdt, first, seed):
    """Data by a list: one descriptor in the command, or segments of them in memory; lengths, types and order may be wrong."""
    if opcode == COMPARE:
        psdt &= 0x7F                    # 3 is reserved: QEMU's COMPARE leaves out Do Not Retry, its READ and WRITE don't
    if chain < len(parts):      # QEMU forgets that a second segment is the last, if that does not end with data
        kinds = [*kinds[:len(parts) - 1], 0]
    data = [struct.pack("<QI3xB", BUFFER + PAGE * page + shift, length, kind << 4)
            for (page, shift, length), kind in zip(parts, kinds)]
    memory = fill(seed, [BUFFER + PAGE * page for page, _, _ in parts])
    if len(data) == 1 and first is None:
        sgl = data[0]
    else:
        cut = min(chain, len(data))
        head, tail = data[:cut], data[cut:]
        if tail:
            head.append(struct.pack("<QI3xB", LISTS + PAGE, 16 * len(tail), 3 << 4))
            memory.append((LISTS + PAGE, b"".join(tail)))
        memory.append((LISTS, b"".join(head)))
        size, kind = first or (16 * len(head), 2 if tail else 3)
        sgl = struct.pack("<QI3xB", LISTS, size, kind << 4)
    sqe = entry(opcode, 1, d10=lba & 0xFFFF_FFFF, d11=lba >> 32, d12=sectors - 1, flags=psdt)
    return IO, sqe[:24] + sgl + sqe[40:], memory, [(BUFFER + PAGE * page, 2 * PAGE) for page, _, _ in parts]


part = st.tuples(st.integers(0, 19), offset, st.sampled_from([0, 4, 512, 512, 1024, 4096, 1536]))
kind = st.sampled_from([0] * 24 + [2, 3, 4, 15])
sgl = st.builds(by_sgl, transfer, st.integers(0, SECTORS), st.integers(1, 8), st.lists(part, min_size=1, max_size=8),
                st.lists(kind, min_size=8, max_size=8), st.integers(1, 8), st.sampled_from([0x40, 0x40, 0x80, 0xC0]),
                st.sampled_from([None] * 8 + [(0, 3), (15, 3), (8192, 3), (32, 3), (16, 4), (48, 3)]), st.integers(0, 255))


@fixed
@given(program(sgl, sgl, sgl, prp, most=40))
def test_reads_and_writes_by_sgl(drive, program):
    play(drive, program)


# --- events and registers ------------------------------------------------------------------

event_request = st.just((ADMIN, entry(0x0C), [], []))
watch = st.builds(lambda bits: (ADMIN, entry(0x09, d10=EVENTS, d11=bits), [], []), st.sampled_from([0, 2, 2, 0xFF]))
threshold = st.builds(lambda kind, kelvin: (ADMIN, entry(0x09, d10=THRESHOLD, d11=kind << 20 | kelvin), [], []),
                      st.sampled_from([0, 1]), st.sampled_from([0x100, 0x142, 0x143, 0x144, 0x157, 0xFFFF]))
seen = st.builds(lambda page, keep: (ADMIN, entry(0x02, 0xFFFF_FFFF, BUFFER, d10=page | keep << 15 | 15 << 16), [],
                                     [(BUFFER, 64)]), st.sampled_from([1, 2]), st.sampled_from([0, 0, 1]))
bell = st.builds(lambda at, value: (0x1000 + 4 * at, value), st.sampled_from([1, 2, 3, 4, 5, 8, 9, 128, 129, 130, 131]),
                 st.sampled_from([16, 17, 0xFFFF, 0x1_0010]))


@fixed
@given(program(event_request, event_request, watch, threshold, threshold, seen, bell, most=60))
def test_events(drive, program):
    """Event requests wait; a doorbell that can't be and a temperature beyond its threshold answer them."""
    drive.write_bytes(DISK)
    pair = Pair(DISK, drive)
    try:
        pair.enable()
        for step in program:
            if len(step) == 2:
                pair.poke(step)
            else:
                pair.command(*step)
                pair.more()
    finally:
        pair.close()


value = st.one_of(dword, st.sampled_from([0x460001, 0x460000, 0x464001, 0x468001, 0x460011, 0x460061, 0x460071, 0x460081,
                                          0x450001, 0x360001, 0xF0F, 0xF000F, 0x10000, 0x11000, 0x11004]))
register = st.sampled_from([CC, CC, CC, AQA, ASQ, ACQ, ASQ + 4, ACQ + 4, INTMS, INTMC, CSTS, 0x00, 0x08, 0x20, 0x38, 0x3C])
stores = st.builds(lambda at, size, value: f"write{size} {BAR + at} {value & (1 << {'b': 8, 'w': 16, 'l': 32}[size]) - 1}",
                   register, st.sampled_from("llllwb"), value)
loads = st.builds(lambda at, size: f"read{size} {BAR + at & -{'b': 1, 'w': 2, 'l': 4, 'q': 8}[size]}",
                  st.one_of(register, st.integers(0, 0x50), st.integers(0x1000, 0x1040), st.integers(0, 0x1FFF)),
                  st.sampled_from("bwlq"))
good = st.just((f"writel {BAR + CC} 0", f"writel {BAR + AQA} 0xf000f", f"writel {BAR + ASQ} 0x10000",
                f"writel {BAR + ASQ + 4} 0", f"writel {BAR + ACQ} 0x11000", f"writel {BAR + ACQ + 4} 0",
                f"writel {BAR + CC} 0x460001", f"readl {BAR + CSTS}"))
state = tuple(f"readl {BAR + at}" for at in (INTMS, INTMC, CC, CSTS, AQA, ASQ, ASQ + 4, ACQ, ACQ + 4))


@fixed
@given(st.lists(st.one_of(stores, stores, stores, loads, good), min_size=40, max_size=100))
def test_registers(drive, program):
    """Any value in any register, enabled or not, by 1, 2 and 4 bytes."""
    drive.write_bytes(DISK)
    pair = Pair(DISK, drive)
    try:
        for step in program:
            pair.done.append(step)
            pair.same([*([step] if isinstance(step, str) else step), *state], "register")
    finally:
        pair.close()
