"""Buffers that the disk can't reach as they lie: bounced, in bounds, in order, and given back."""

import pytest

from tests.storage_rig import Rig, read10, srb, write10
from vmio.machine.memory import PAGE, HostMemory
from vmio.vmbus.storage.bounce import BouncePages
from vmio.vmbus.storage import vstor as v


@pytest.mark.parametrize("offset", [1, 2, 3, 0x801, 0xFFF])
@pytest.mark.parametrize("sectors", [1, 8, 17])
def test_a_read_into_any_address(offset, sectors):
    rig = Rig().ready()
    gpa, length = 0x10000 + offset, 512 * sectors
    rig.guest.memory.write(0x10000, b"\xEE" * 0x4000)
    answer = rig.srb(read10(100, sectors), length, gpa=gpa)
    assert (answer.srb_status, answer.status, answer.transfer_length) == (1, 0, length)
    found = rig.guest.memory.read(0x10000, 0x4000)
    assert found == b"\xEE" * offset + rig.image.read(100, sectors) + b"\xEE" * (0x4000 - offset - length)
    (_, kind, lba, count, pages), = rig.backend.log
    assert (kind, lba, count) == ("read", 100, sectors) and not any(page & 3 for page in pages)
    assert rig.vsp.bounced == 1 and rig.vsp.in_flight == 0 and rig.vsp.bounce._free == rig.vsp.bounce.made


@pytest.mark.parametrize("offset", [1, 2, 3, 0xFFF])
def test_a_write_from_any_address(offset):
    rig = Rig().ready()
    data = bytes(n * 7 & 0xFF for n in range(512 * 17))
    rig.guest.memory.write(0x10000 + offset, data)
    answer = rig.srb(write10(100, 17, fua=True), len(data), v.TO_DEVICE, gpa=0x10000 + offset)
    assert (answer.srb_status, answer.transfer_length) == (1, len(data)) and rig.image.read(100, 17) == data
    assert [kind for _, kind, *_ in rig.backend.log] == ["write", "flush"]


def test_what_is_aligned_is_not_copied():
    rig = Rig().ready()
    assert rig.srb(read10(0, 8), 4096, gpa=0x10004).srb_status == 1
    assert rig.vsp.bounced == 0 and rig.vsp.bounce.made == [] and rig.backend.log[0][4][0] & 0xFFF == 4


def test_a_copy_takes_its_time():
    times = []
    for gpa in (0x10000, 0x10001):
        rig = Rig().ready()
        before = rig.host.busy_ns
        rig.srb(read10(0, 64), 64 * 512, gpa=gpa)
        times.append(rig.host.busy_ns - before)
    assert times[1] - times[0] == rig.host.costs.copy_ns(64 * 512) > 0


def test_an_unaligned_buffer_is_checked_like_any():
    rig = Rig().ready()
    for pages in ((16, 1024), (16, 1 << 40)):
        payload, _ = srb(read10(0, 8), 4096)
        answer = v.SRB.parse(rig.ask(payload, 7, ((4096, 1, pages),)))
        assert answer.srb_status == v.SRB_INVALID_REQUEST
    assert rig.backend.log == [] and rig.vsp.bounce.made == []


def test_an_error_copies_nothing():
    rig = Rig().ready()
    rig.backend.status = 0x281
    before = rig.guest.memory.read(0x10000, 0x2000)
    answer = rig.srb(read10(0, 8), 4096, gpa=0x10001)
    assert (answer.srb_status, answer.transfer_length) == (0x84, 0) and rig.guest.memory.read(0x10000, 0x2000) == before
    assert rig.vsp.bounce._free == rig.vsp.bounce.made and rig.vsp.in_flight == 0


def test_many_at_once_wait_for_pages_and_closing_waits_for_them():
    rig = Rig(hold=True, batch=1).ready()
    rig.vsp.bounce.max_pages = 3
    for number in range(1, 4):
        payload, ranges = srb(read10(8 * number, 8), 4096, gpa=0x10000 * number + 2)
        rig.end.send(payload, number, want_completion=True, ranges=ranges)
    rig.run()
    assert len(rig.backend.held) == 3 and rig.vsp.in_flight == 3
    payload, ranges = srb(read10(8, 16), 8192, gpa=0x50001)
    rig.end.send(payload, 4, want_completion=True, ranges=ranges)
    rig.run()
    assert len(rig.backend.held) == 3 and rig.vsp.in_flight == 4 and len(rig.vsp.bounce.made) == 3
    rig.backend.release(), rig.backend.release()
    assert [packet.transaction_id for packet in rig.run()] == [1, 2]
    drained = rig.vsp.closed()
    rig.host.env.run()
    assert not drained.triggered and len(rig.backend.held) == 2
    rig.backend.release(), rig.backend.release()
    rig.host.env.run()
    assert drained.triggered and rig.guest.memory.read(0x50001, 8192) == rig.image.read(8, 16)


def test_more_than_there_can_be_is_an_error():
    rig = Rig().ready()
    rig.vsp.bounce.max_pages = 1
    answer = rig.srb(read10(0, 16), 8192, gpa=0x10001)
    assert (answer.srb_status, answer.cdb[2], answer.cdb[12]) == (0x84, 3, 0x11) and rig.vsp.in_flight == 0


def test_a_host_without_memory_serves_with_what_it_has():
    memory = HostMemory(8 * PAGE)
    pages, got = BouncePages(memory, 100), []
    memory.allocate(4)
    assert pages.take(2, got.append) and pages.take(2, got.append) and not pages.take(4, got.append)
    assert len(got) == 1 and pages.max_pages == 3 == len(pages.made)
    pages.give_back(got[0])
    assert len(got) == 2
    pages.give_back(got[1])
    pages.release()
    assert len({memory.allocate(1) for _ in range(3)}) == 3


def test_a_guests_end_gives_the_pages_back():
    rig = Rig().ready()
    rig.srb(read10(0, 8), 4096, gpa=0x10001)
    spa, = rig.vsp.bounce.made
    rig.vsp.closed()
    rig.guest.destroy()
    assert rig.vsp.bounce.made == [] and not any(rig.host.memory.read(spa, PAGE))
    taken = [rig.host.memory.allocate(1) for _ in range(rig.host.memory.free_pages)]
    assert spa in taken
