"""The NVMe controller: the recorded session, queues, PRPs, interrupts, errors, reset, checkpoint."""

import json
import struct

import pytest

from tests.nvme_rig import (
    BASE,
    COMPARE,
    CREATE_CQ,
    CREATE_SQ,
    DISK,
    EVENT,
    FLUSH,
    IDENTIFY,
    READ,
    SET_FEATURES,
    WRITE,
    ZERO,
    Bench,
    board_with_nvme,
)
from vmio import data
from vmio.hardware.nvme.controller import NvmeController
from vmio.machine.clock import Clock
from vmio.machine.memory import HostMemory
from vmio.machine.storage import Image



def test_recorded_session():
    """data/golden/nvme_identify_read.json, with each access's interrupt edges."""
    guest, _ = board_with_nvme()
    edges, compared = [], 0
    for n, line in enumerate(guest.lines):
        line.connect(lambda level, n=n: edges.append((n, level)))
    ops = json.loads(data.path("golden/nvme_identify_read.json").read_text())["ops"]
    for at, (kind, address, size, *rest) in enumerate(ops):
        if kind == "irq":
            assert edges and edges.pop(0) == (address, rest[0]), f"op {at}"
            continue
        assert not edges, f"op {at}"
        guest.clock.advance_to(guest.clock.now)
        if kind == "out":
            guest.io.write(address, size, rest[0])
        elif kind == "in":
            assert guest.io.read(address, size) == rest[0], f"op {at}"
        elif kind == "store":
            guest.mmio.write(address, size, rest[0])
        elif kind == "load":
            assert guest.mmio.read(address, size) == rest[0], f"op {at}"
        elif kind == "memwrite":
            guest.memory.write(address, bytes.fromhex(rest[0]))
        elif kind == "memread":
            assert guest.memory.read(address, size).hex() == rest[0], f"op {at}"
        else:
            assert kind == "pollm"
            got = guest.mmio.read(address, size) if address >= guest.ram else \
                int.from_bytes(guest.memory.read(address, size), "little")
            assert got & rest[1] == rest[0] & rest[1], f"op {at}"
        compared += kind in ("in", "load", "memread", "pollm")
    assert compared > 15


@pytest.fixture
def bench():
    bench = Bench()
    bench.io_queue()
    return bench


def test_registers_at_power_on():
    chip = Bench().chip
    chip.reset()
    assert [chip.read(offset, 4) for offset in (0, 4, 8, 0x0C, 0x14, 0x1C, 0x24)] == \
        [0x0F0107FF, 0x00401820, 0x10400, 0, 0, 0, 0]
    assert chip.read(0x1000, 4) == 0 and chip.read(0x3FFC, 4) == 0


@pytest.mark.parametrize("cc, csts", ((0x460001, 1), (0x450001, 2), (0x360001, 2), (0x460011, 2), (0x460061, 1),
                                      (0x460281, 2), (0x460201, 2)))
def test_enable_checks_the_configuration(cc, csts):
    bench = Bench()
    bench.chip.reset()
    assert bench.enable(cc) == csts


def test_misaligned_admin_queue_is_fatal():
    bench = Bench()
    bench.chip.reset()
    bench.ASQ += 64
    assert bench.enable() == 2


def test_queue_wraps_and_the_phase_turns(bench):
    for lba in range(10):
        assert bench.io(READ, lba, 1) == 0
        assert bench.memory.read(bench.BUFFER, 512) == DISK[512 * lba:][:512]
    assert bench.rings[1][2] == 1 and bench.messages == [1] * 10


def test_one_message_for_one_batch(bench):
    for lba in range(3):
        bench.put(1, READ, nsid=1, prp1=bench.BUFFER + 512 * lba, d10=lba)
    bench.ring(1)
    assert [answer[0] for answer in bench.answers(1)] == [0, 0, 0]
    assert bench.messages == [1]
    assert bench.memory.read(bench.BUFFER, 1536) == DISK[:1536]


def test_a_full_completion_queue_holds_answers_back(bench):
    bench.put(1, READ, nsid=1, prp1=bench.BUFFER)
    bench.ring(1)
    bench.answers(1, acknowledge=False)
    bench.rings[1][0] = 1
    for lba in range(3):
        bench.put(1, READ, nsid=1, prp1=bench.BUFFER, d10=lba)
    bench.ring(1)
    assert len(bench.answers(1, acknowledge=False)) == 2      # three of four places, one taken
    bench.chip.write(0x100C, 4, 3)
    assert len(bench.answers(1)) == 1


def test_prp_shapes(bench):
    page = [0x100000, 0x180000, 0x120000, 0x1F0000]
    assert bench.io(READ, 0, 8, page[0] + 512, page[1]) == 0          # crosses one border: PRP 2 is a page
    assert bench.memory.read(page[0] + 512, 3584) + bench.memory.read(page[1], 512) == DISK[:4096]
    bench.memory.write(0x20000, struct.pack("<3Q", *page[1:]))
    assert bench.io(READ, 8, 32, page[0], 0x20000) == 0               # PRP 2 is a list
    assert b"".join(bench.memory.read(at, 4096) for at in page) == DISK[4096:20480]
    bench.memory.write(0x20FF0, struct.pack("<2Q", page[1], 0x21000))  # a list that goes on in another page
    bench.memory.write(0x21000, struct.pack("<2Q", *page[2:]))
    assert bench.io(READ, 40, 32, page[0], 0x20FF0) == 0
    assert b"".join(bench.memory.read(at, 4096) for at in page) == DISK[20480:36864]
    assert bench.io(READ, 0, 9, page[0], page[1] + 8) == 0x13         # an offset where none may be


def test_status_codes(bench):
    assert bench.io(READ, 2047, 2) == 0x80
    assert bench.io(READ, 1 << 63, 1) == 0x80
    assert bench.io(READ, 0, 1025) == 0x02                            # beyond MDTS
    assert bench.io(0x77, 0, 1) == 0x01
    assert bench.io(READ, 0, 1, prp1=1 << 50) == 0x04
    assert bench.ask(1, READ, nsid=2) == 0x02 and bench.ask(1, READ, nsid=0) == 0x0B
    assert bench.io(READ, 0, 1, flags=1) == 0x02
    assert bench.ask(0, CREATE_CQ, prp1=bench.CQ, d10=1 | 3 << 16, d11=1) == 0x101
    assert bench.ask(0, CREATE_CQ, prp1=bench.CQ, d10=65 | 3 << 16, d11=1) == 0x101
    assert bench.ask(0, CREATE_CQ, prp1=bench.CQ, d10=2, d11=1) == 0x102
    assert bench.ask(0, CREATE_CQ, prp1=bench.CQ + 8, d10=2 | 3 << 16, d11=1) == 0x13
    assert bench.ask(0, CREATE_CQ, prp1=bench.CQ, d10=2 | 3 << 16, d11=1 | 65 << 16) == 0x108
    assert bench.ask(0, CREATE_SQ, prp1=bench.SQ, d10=2 | 3 << 16, d11=1 | 9 << 16) == 0x100
    assert bench.ask(0, 4, d10=1) == 0x10C                            # delete a CQ that an SQ uses
    assert bench.ask(0, SET_FEATURES, d10=7, d11=0x3F003F) == 0x0C    # queues exist already
    assert bench.ask(0, IDENTIFY, prp1=bench.BUFFER, d10=0xFF) == 0x02


def test_write_flush_compare_zero(bench):
    bench.memory.write(bench.BUFFER, b"\xA5" * 1024)
    assert bench.io(WRITE, 100, 2) == 0
    assert bench.image.read(100, 2) == b"\xA5" * 1024
    assert bench.ask(1, FLUSH, nsid=0xFFFFFFFF) == 0
    assert bench.io(COMPARE, 100, 2) == 0 and bench.io(COMPARE, 101, 2) == 0x285
    assert bench.io(ZERO, 100, 1) == 0
    assert bench.image.read(100, 2) == bytes(512) + b"\xA5" * 512


def test_the_medium_answers_out_of_order():
    pending = []
    bench = Bench(service=lambda op, sectors, done: pending.append((op, sectors, done)))
    bench.io_queue()
    for lba in (5, 6, 7):
        bench.put(1, READ, nsid=1, prp1=bench.BUFFER + 512 * lba, d10=lba)
    bench.ring(1)
    assert bench.answers(1) == [] and [p[:2] for p in pending] == [("read", 1)] * 3
    for n in (2, 0, 1, 1):                                            # the last says so twice: ignored
        pending[n][2]()
    first = bench.id - 2
    assert [answer[1] for answer in bench.answers(1)] == [first + 2, first, first + 1]
    assert bench.messages == [1, 1, 1]
    assert bench.memory.read(bench.BUFFER + 512 * 5, 1536) == DISK[512 * 5:512 * 8]


def test_deleting_a_queue_answers_what_is_under_way():
    pending = []
    bench = Bench(service=lambda op, sectors, done: pending.append(done))
    bench.io_queue()
    bench.memory.write(bench.BUFFER, b"x" * 512)
    bench.put(1, WRITE, nsid=1, prp1=bench.BUFFER)
    bench.ring(1)
    assert bench.ask(0, 0, d10=1) == 0
    assert [answer[0] for answer in bench.answers(1)] == [0x08]
    pending[0]()
    assert bench.image.read(0, 1) == DISK[:512] and bench.answers(1) == []


def test_reset_forgets_what_is_under_way():
    pending = []
    bench = Bench(service=lambda op, sectors, done: pending.append(done))
    bench.io_queue()
    bench.put(1, READ, nsid=1, prp1=bench.BUFFER)
    bench.ring(1)
    bench.chip.write(0x14, 4, 0)
    assert bench.chip.read(0x1C, 4) == 0
    pending[0]()
    assert bench.memory.read(bench.BUFFER, 512) == bytes(512)
    assert bench.enable() == 1
    bench.io_queue()


def test_queue_memory_out_of_reach_is_fatal(bench):
    bench.SQ = 1 << 40
    bench.rings[1][3] = 1 << 40
    assert bench.ask(0, 0, d10=1) == 0
    assert bench.ask(0, CREATE_SQ, prp1=1 << 40, d10=1 | 3 << 16, d11=1 | 1 << 16) == 0
    bench.chip.write(0x1008, 4, 1)
    assert bench.chip.read(0x1C, 4) == 2


def test_intx_follows_unseen_answers_and_masks():
    bench = Bench(interrupt="line")
    bench.put(0, IDENTIFY, prp1=bench.BUFFER, d10=1)
    bench.ring(0)
    assert bench.line.level == 1
    bench.chip.write(0x0C, 4, 1)
    assert bench.line.level == 0 and bench.chip.read(0x10, 4) == 1
    bench.chip.write(0x10, 4, 1)
    assert bench.line.level == 1
    bench.answers(0)
    assert bench.line.level == 0


def test_msix_masks_keep_a_message(bench):
    bench.chip.write(0x2000 + 16 + 12, 4, 1)
    bench.io(READ, 0, 1)
    assert bench.messages == [] and bench.chip.read(0x3000, 4) == 2
    bench.chip.write(0x2000 + 16 + 12, 4, 0)
    assert bench.messages == [1] and bench.chip.read(0x3000, 4) == 0


def test_bad_doorbells_raise_events(bench):
    for _ in range(4):
        bench.put(0, EVENT)
    bench.ring(0)
    assert bench.ask(0, EVENT) == 0x105
    bench.chip.write(0x1000 + 8 * 5, 4, 1)
    (status, _, result, _), = bench.answers(0)
    assert (status, result) == (0, 0x010000)          # error, invalid doorbell register, log page 1
    bench.chip.write(0x1008, 4, 4)                    # masked until the log is read
    assert bench.answers(0) == []
    bench.put(0, 2, nsid=0xFFFFFFFF, prp1=bench.BUFFER, d10=1 | 15 << 16)
    bench.ring(0)
    assert sorted(answer[2] for answer in bench.answers(0)) == [0, 0x010100]


def test_no_bus_master_no_dma():
    guest, controller = board_with_nvme()
    function = controller.drive_intx.__self__
    function.write(0x10, 4, BASE)
    function.write(0x04, 2, 2)
    for offset, value in ((0x24, 0x70007), (0x28, 0x10000), (0x30, 0x11000), (0x14, 0x460001), (0x1000, 1)):
        guest.mmio.write(BASE + offset, 4, value)
    guest.clock.advance_to(guest.clock.now)
    assert guest.mmio.read(BASE + 0x1C, 4) == 2


def test_saved_in_flight_goes_on():
    pending = []
    bench = Bench(service=lambda op, sectors, done: pending.append(done))
    bench.io_queue()
    bench.put(0, EVENT)
    bench.ring(0)
    bench.put(1, READ, nsid=1, prp1=bench.BUFFER, d10=9)
    bench.ring(1)
    state = json.loads(json.dumps(bench.chip.save()))
    twin = NvmeController(Clock(), bench.memory, bench.image, bench.messages.append)
    twin.restore(state)
    assert bench.memory.read(bench.BUFFER, 512) == DISK[512 * 9:][:512]
    bench.chip = twin
    assert [answer[0] for answer in bench.answers(1)] == [0]
    assert bench.io(READ, 3, 1) == 0
    twin.write(0x1000 + 8 * 5, 4, 1)
    assert len(bench.answers(0)) == 1
    assert twin.save()["registers"] == state["registers"]


@pytest.mark.parametrize("field, text", (("serial", "x" * 21), ("model", "x" * 41), ("firmware", "x" * 9)))
def test_names_must_fit(field, text):
    with pytest.raises(ValueError, match=field):
        NvmeController(Clock(), HostMemory(4096), Image.open(bytes(512)), **{field: text})
