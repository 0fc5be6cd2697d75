"""Linux's igb and igbvf, recorded: each register that they read has the same value here."""

import json
from collections import Counter

from tests.nic_rig import Card, Vf, frame

from vmio import data
from vmio.hardware.nic import registers as r

MAC, GROUP = bytes.fromhex("12bbb6c18a16"), bytes.fromhex("333300000001")
TX, RX = 0x2BF_0000, 0x2BF_4000        # where the recorded driver had its rings
ENTRIES = 1024


class Memory:
    """Sparse memory: the recorded driver's rings are far up, and its buffers are nowhere yet."""

    def __init__(self):
        self.bytes = {}

    def read(self, address, length):
        return bytes(self.bytes.get(address + n, 0) for n in range(length))

    def write(self, address, content):
        self.bytes.update(enumerate(bytes(content), address))


def test_the_recorded_accesses():
    ops = json.loads(data.path("golden/linux_igbvf.json").read_text(encoding="utf-8"))["ops"]
    rig = Card(count=0)
    rig.card.reset()
    vf = Vf(rig.card.make(1)[0], MAC, Memory())
    vf.nic.interrupts.msix.enabled = True
    wrong, compared, frames, sent = [], Counter(), 0, 0
    for number, (who, op, first, second) in enumerate(ops):
        side = vf if who == "vf" else rig
        rig.later(1_000_000)
        if op == "store":
            side.write(first, second)
        elif op == "load":
            got = side.read(first)
            compared[who] += 1
            if got != second:
                wrong.append(f"op {number}: {who} {first:#x} read {got:#x}; recorded {second:#x}")
        elif op == "hears":
            assert rig.say(frame(GROUP if second else MAC, length=first))
            frames += 1
        else:                                        # the doorbell comes next
            at = TX + 16 * (sent % ENTRIES)
            vf.memory.write(0x100_0000, frame(bytes(6), MAC, first))
            vf.memory.write(at, (0x100_0000).to_bytes(8, "little") + (0x2B30_0000 | first).to_bytes(4, "little") + bytes(4))
            sent += 1
    # What came while all was masked is latched (data sheet, 8.8.1); QEMU's card forgets it, and the driver reads it to forget it.
    assert wrong == ["op 455: vf 0x1580 read 0x4; recorded 0x0"]
    assert compared == {"vf": 165, "pf": 320} and (frames, sent) == (11, 14)
    assert [len(each) for each in rig.got] == [op[2] for op in ops if op[1] == "sends"]


def test_a_wrong_counter_would_be_seen():
    """The replay compares what it reads: with another length of a frame it would end otherwise."""
    rig = Card(count=1)
    rig.say(frame(rig.vfs[0].address, length=86))
    assert (rig.vfs[0].read(r.RX_FRAMES), rig.vfs[0].read(r.RX_BYTES), rig.vfs[0].read(r.RX_GROUP)) == (1, 90, 0)
