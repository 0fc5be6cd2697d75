"""A thousand NVMe commands as QEMU 7.2 answered them (tests/live/test_nvme_walk.py), replayed through the door.

Each is sent when the one before was answered: completion entries and data must be the same, byte by byte.
"""

import base64
import hashlib
import json
import struct
from pathlib import Path

from vmio.oracle.qtest import Door

PAGE, SECTORS, ENTRIES = 4096, 64, 16
BAR, BUFFER = 0xE000_0000, 0x40000
SQ, CQ = (0x10000, 0x12000), (0x11000, 0x13000)
DISK = b"".join(bytes([lba, 255 - lba]) * 256 for lba in range(SECTORS))
START = ["outl 0xcf8 0x80001810", f"outl 0xcfc {BAR}", "outl 0xcf8 0x80001804", "outw 0xcfc 7",
         *(f"writel {BAR + at} {value}" for at, value in ((0x24, (ENTRIES - 1) * 0x10001), (0x28, SQ[0]), (0x30, CQ[0]),
                                                          (0x14, 0x460001)))]


def test_every_command_is_answered_as_qemu_answers_it():
    recording = json.loads((Path(__file__).parents[2] / "live" / "nvme_recorded.json").read_text())
    texts, door = recording["texts"], Door(DISK)
    tails, heads, phases = [0, 0], [0, 0], [1, 1]

    def ask(*lines):
        answers = [door.answer(line)[-1] for line in lines]
        assert all(answer.startswith("OK") for answer in answers), (lines, answers)
        return answers[-1][3:]

    ask(*START)
    for queue, sqe, memory, answer, data in recording["rows"]:
        ask(f"memset {BUFFER} {4 * PAGE} 0x5a", *(
            f"b64write {at} {len(texts[n]) // 2} {base64.b64encode(bytes.fromhex(texts[n])).decode()}" for at, n in memory))
        ask(f"write {SQ[queue] + 64 * tails[queue]} 64 0x{sqe}")
        tails[queue] = (tails[queue] + 1) % ENTRIES
        ask(f"writel {BAR + 0x1000 + 8 * queue} {tails[queue]}")
        for _ in range(4):
            got = ask(f"read {CQ[queue] + 16 * heads[queue]} 16")[2:]
            if int(got[28:30], 16) & 1 == phases[queue]:
                break
        assert got == answer, f"{sqe}: status {_status(got):#x}, QEMU's {_status(answer):#x}"
        heads[queue] = (heads[queue] + 1) % ENTRIES
        phases[queue] ^= heads[queue] == 0
        found = base64.b64decode(ask(f"writel {BAR + 0x1004 + 8 * queue} {heads[queue]}", f"b64read {BUFFER} {4 * PAGE}"))
        found = found.rstrip(b"\x5a")
        assert (found.hex() if len(found) <= 2 * PAGE else hashlib.sha256(found).hexdigest()) == texts[data], sqe
    assert len(recording["rows"]) > 1000


def _status(answer):
    return struct.unpack("<H", bytes.fromhex(answer)[14:])[0] >> 1
