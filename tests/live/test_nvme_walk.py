"""A walk through NVMe's commands on a live QEMU: what tests/unit/hardware/test_nvme_recorded.py replays without one.

`VMIO_WRITE=1 python -m pytest tests/live/test_nvme_walk.py` writes the recording anew; otherwise it must still be
what QEMU says (7.2's; another version may say something else, and the difference is worth a look).
"""

import base64
import hashlib
import json
import os
import struct
from pathlib import Path

import pytest

from nvme_pair import ACQ, ADMIN, AQA, ASQ, BAR, BUFFER, CC, CQ, ENABLED, ENTRIES, IO, LISTS, SQ, QemuNvme, Side, entry

pytestmark = [pytest.mark.qemu, pytest.mark.usefixtures("installed")]
FILE = Path(__file__).with_name("nvme_recorded.json")
SECTORS, PAGE = 64, 4096
DISK = b"".join(bytes([lba, 255 - lba]) * 256 for lba in range(SECTORS))
NSIDS = (1, 0, 2, 256, 257, 0xFFFF_FFFF)


def commands():
    """[(queue, entry, [(address, data), ...]), ...]: every command with right and wrong values, one after the other."""
    ring = 1 | ENTRIES - 1 << 16
    yield ADMIN, entry(0x05, prp1=CQ[IO], d10=ring, d11=3), []
    yield ADMIN, entry(0x01, prp1=SQ[IO], d10=ring, d11=1 | 1 << 16), []
    for cns in (*range(0x22), 0x7F, 0xFF):
        for nsid in (1, 0, 2, 0xFFFF_FFFE, 0xFFFF_FFFF) if cns < 0x22 else (1,):
            yield ADMIN, entry(0x06, nsid, BUFFER, d10=cns), []
        for command_set in (1, 2, 3):
            yield ADMIN, entry(0x06, 1, BUFFER, d10=cns, d11=command_set << 24), []
    for page in range(8):
        for nsid in NSIDS:
            yield ADMIN, entry(0x02, nsid, BUFFER, d10=page | 15 << 16), []
        for offset, dwords in ((4, 3), (60, 1), (64, 0), (508, 3), (512, 0), (1024, 255), (4092, 0), (4096, 0), (2, 0)):
            yield ADMIN, entry(0x02, 1, BUFFER, d10=page | 1 << 15 | dwords << 16, d12=offset), []
        yield ADMIN, entry(0x02, 1, BUFFER, d10=page | 0xFFFF << 16, d11=2), []
    yield from features()
    yield from queues()
    yield from transfers()
    for page in (1, 2):                              # after all that: counters, errors
        yield ADMIN, entry(0x02, 0xFFFF_FFFF, BUFFER, d10=page | 127 << 16), []


def features():
    """What can be read, then what can be changed, and what it reads then."""
    def every(selects):
        for feature in (*range(0x20), 0x7F, 0x80, 0xC0):
            for select in selects:
                yield ADMIN, entry(0x0A, 1, BUFFER, d10=feature | select << 8), []
        for feature, value in ((9, 64), (9, 65), (4, 1 << 16), (4, 1 << 20), (4, 2 << 20), (5, 0)):
            yield ADMIN, entry(0x0A, 0 if feature == 5 else 1, BUFFER, d10=feature, d11=value), []
    yield from every((0, 1, 2, 3, 4))
    for feature in (*range(0x20), 0x7F):
        for nsid in (0, 1, 2, 0xFFFF_FFFF, 300):
            yield ADMIN, entry(0x09, nsid, BUFFER, d10=feature, d11=3), [(BUFFER, bytes(range(1, 9)) + bytes(504))]
        yield ADMIN, entry(0x09, 0, BUFFER, d10=feature | 1 << 31), []
    for feature, value in ((6, 0), (4, 0x157), (4, 1 << 20 | 0x100), (4, 2 << 20), (4, 1 << 16), (0xB, 0x2FF), (7, 0xFFFF),
                           (7, 0xFFFF_0000), (0x19, 0x1FF), (0x19, 0x200), (5, 0x1_0007)):
        yield ADMIN, entry(0x09, 1 if feature == 5 else 0, BUFFER, d10=feature, d11=value), []
    yield from every((0, 3))


def queues():
    """Queues with wrong numbers, sizes, places and vectors; deletion in the wrong order."""
    at = BUFFER + PAGE
    for number in (0, 1, 2, 2, 64, 65, 0xFFFF):
        yield ADMIN, entry(0x05, prp1=at, d10=number | 3 << 16, d11=1), []
    for entries, prp, d11 in ((0, at, 1), (2047, at, 1), (2048, at, 1), (3, at + 8, 1), (3, at, 0), (3, at, 1 | 1 << 16),
                              (3, at, 1 | 65 << 16)):
        yield ADMIN, entry(0x05, prp1=prp, d10=3 | entries << 16, d11=d11), []
    for number, completion in ((1, 1), (2, 0), (2, 9), (2, 65), (0, 1), (65, 1), (2, 2), (2, 2), (64, 2)):
        yield ADMIN, entry(0x01, prp1=at, d10=number | 3 << 16, d11=1 | completion << 16), []
    for entries, prp, d11 in ((0, at, 1), (2048, at, 1), (3, at + 8, 1), (3, at, 0)):
        yield ADMIN, entry(0x01, prp1=prp, d10=4 | entries << 16, d11=d11 | 2 << 16), []
    for opcode, number in ((4, 2), (0, 0), (0, 5), (0, 65), (4, 0), (4, 65), (0, 2), (4, 2), (0, 64), (4, 2), (4, 2), (4, 3), (4, 64)):
        yield ADMIN, entry(opcode, d10=number), []
    for sq in (0, 1, 2, 0xFFFF):
        yield ADMIN, entry(0x08, d10=sq | 7 << 16), []
    for opcode in (0x03, 0x0D, 0x10, 0x14, 0x15, 0x1C, 0x7F, 0x81, 0xC0):
        for flags in (0, 1, 2, 0x40):
            yield ADMIN, entry(opcode, 1, BUFFER, flags=flags), []


def transfers():
    """Reads, writes and the others, by PRP and SGL, within and beyond the disk."""
    data = [(BUFFER, bytes(range(64)) * 8)]
    for opcode in (2, 1, 5, 8, 12, 0, 9, 3, 0x7F):
        for nsid in NSIDS:
            yield IO, entry(opcode, nsid, BUFFER, d10=3), data
        for lba, count in ((SECTORS - 1, 1), (SECTORS - 1, 2), (SECTORS, 1), (1 << 32, 1), ((1 << 64) - 1, 1), (0, 1025)):
            yield IO, entry(opcode, 1, BUFFER, LISTS, d10=lba & 0xFFFF_FFFF, d11=lba >> 32, d12=count - 1), data
    lists = [(LISTS + PAGE - 16, struct.pack("<2Q", BUFFER + 3 * PAGE, LISTS + 2 * PAGE)),
             (LISTS + 2 * PAGE, struct.pack("<3Q", BUFFER + 2 * PAGE, BUFFER + PAGE + 4, BUFFER + PAGE))]
    for opcode in (2, 1, 5):
        for shift, prp2, count in ((0, 0, 1), (4, 0, 7), (4, BUFFER + PAGE, 8), (0xFFC, BUFFER + PAGE, 1), (0, BUFFER + PAGE, 16),
                                   (0, LISTS + PAGE - 16, 24), (512, LISTS + PAGE - 16, 24), (4, LISTS + PAGE - 16, 24),
                                   (0, BUFFER + PAGE + 8, 9)):
            yield IO, entry(opcode, 1, BUFFER + shift, prp2, d10=2, d12=count - 1), data + lists


def record(folder):
    """[[queue, entry, memory, answer, data at BUFFER], ...] of a QEMU."""
    drive = folder / "disk.img"
    drive.write_bytes(DISK)
    side, tails, heads, phases, rows = Side(QemuNvme(drive)), [0, 0], [0, 0], [1, 1], []
    try:
        side.ask([f"writel {BAR + at} {value}" for at, value in (
            (AQA, (ENTRIES - 1) * 0x10001), (ASQ, SQ[ADMIN]), (ACQ, CQ[ADMIN]), (CC, ENABLED))])
        for number, (queue, sqe, memory) in enumerate(commands(), 1):
            sqe = sqe[:2] + struct.pack("<H", number) + sqe[4:]
            lines = [f"memset {BUFFER} {4 * PAGE} 0x5a"]
            lines += [f"b64write {at} {len(data)} {base64.b64encode(data).decode()}" for at, data in memory]
            lines.append(f"write {SQ[queue] + 64 * tails[queue]} 64 0x{sqe.hex()}")
            tails[queue] = (tails[queue] + 1) % ENTRIES
            side.ask([*lines, f"writel {BAR + 0x1000 + 8 * queue} {tails[queue]}"])
            while not (answer := side.entry(queue, heads[queue]))[14] & 1 == phases[queue]:
                pass
            heads[queue] = (heads[queue] + 1) % ENTRIES
            phases[queue] ^= heads[queue] == 0
            data, _ = side.ask([f"b64read {BUFFER} {4 * PAGE}", f"writel {BAR + 0x1004 + 8 * queue} {heads[queue]}"])
            rows.append([queue, sqe.hex(), [[at, value.hex()] for at, value in memory], answer.hex(),
                         digest(base64.b64decode(data).rstrip(b"\x5a"))])
    finally:
        side.machine.close()
    return rows


def digest(data):
    """Hexadecimal; of more than two pages only what they hash to."""
    return data.hex() if len(data) <= 2 * PAGE else hashlib.sha256(data).hexdigest()


def folded(rows):
    """The same with each long text once: {"texts": [...], "rows": [...]}."""
    texts = {}

    def number(text):
        return texts.setdefault(text, len(texts))
    rows = [[queue, sqe, [[at, number(value)] for at, value in memory], answer, number(data)]
            for queue, sqe, memory, answer, data in rows]
    return {"texts": list(texts), "rows": rows}


def test_the_recording_is_what_qemu_says(tmp_path):
    found = folded(record(tmp_path))
    if os.environ.get("VMIO_WRITE"):
        head = {"qemu": "7.2", "device": "nvme,serial=VMIO0001"}
        text = json.dumps(head | found, separators=(",", ":"))
        FILE.write_text(text.replace('],[0,"', '],\n[0,"').replace('],[1,"', '],\n[1,"') + "\n")     # a line a command
    known = json.loads(FILE.read_text())
    for one, other in zip(found["rows"], known["rows"], strict=True):
        assert one == other
    assert found["texts"] == known["texts"]
