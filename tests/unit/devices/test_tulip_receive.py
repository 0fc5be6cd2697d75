"""The Tulip's receive process: filters, buffers, what RDES0 says, frames that find no buffer."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tulip_rig import BROADCAST, GROUP, PEER, RX, RX_DATA, US, Rig, frame

from vmio.devices.net.tulip import bits as b
from vmio.devices.net.tulip.filter import hash_of
from vmio.devices.net.tulip.receive import MOST_BUFFERS

OTHER = bytes.fromhex("525400777777")
SEEN = b.R_FS | b.R_LS | b.R_FT


def wants(rig, address):
    """Is a frame to this address put into memory?  None if RDES0 also says that it failed the filter."""
    at = rig.give()
    rig.wire.send(frame(address))
    taken = not rig.status(at) & b.OWN
    failed = bool(rig.status(at) & b.R_FF)
    if not taken:
        rig.rx -= 1
    return None if taken and failed else taken


def started(mode=0, **rig):
    rig = Rig(**rig)
    rig.start(mode)
    return rig


def test_a_frame_and_its_fcs_are_in_memory():
    rig = started()
    rig.setup(US)
    rig.csr(5, 0x1FFFF)
    at = rig.give()
    assert rig.wire.send(frame(US, 100))
    assert rig.data(0, 104) == frame(US, 100) + zlib.crc32(frame(US, 100)).to_bytes(4, "little")
    assert rig.status(at) == 104 << 16 | SEEN
    assert rig.csr(5) & 0x1FFFF == b.RI | b.NIS and rig.line


@pytest.mark.parametrize(("sent", "bits"), [
    (frame(US, 60), SEEN), (frame(US, 60, kind=46), b.R_FS | b.R_LS), (frame(US, 60, kind=1500), b.R_FS | b.R_LS),
    (frame(US, 60, kind=0x600), SEEN), (frame(US, 1514), SEEN), (frame(US, 1518, kind=0x8100), SEEN | b.R_TL), (frame(US, 14), SEEN),
    (frame(BROADCAST, 60), SEEN | b.R_MF), (frame(GROUP, 60), SEEN | b.R_MF)])
def test_what_rdes0_says(sent, bits):
    rig = started()
    rig.setup(US, BROADCAST, GROUP)
    at = rig.give()
    rig.wire.send(sent)
    assert rig.status(at) == len(sent) + 4 << 16 | bits


def test_the_21143_tells_no_type():
    rig = started(chip="21143")
    rig.setup(US)
    at = rig.give()
    rig.wire.send(frame(US))
    assert rig.status(at) == 68 << 16 | b.R_FS | b.R_LS


def test_before_a_setup_frame_nothing_is_wanted():
    rig = started()
    assert [wants(rig, address) for address in (US, BROADCAST, GROUP)] == [False] * 3


def test_a_reset_forgets_the_filter():
    rig = started()
    rig.setup(US)
    assert wants(rig, US)
    rig.csr(0, 1)
    rig.start(0)
    rig.rx = 0
    assert not wants(rig, US) and rig.csr(8) == 0xE0000000      # thrown away, and not missed


def test_a_perfect_filter():
    rig = started()
    at = rig.setup(US, GROUP)
    assert rig.status(at) == b.T_NOTHING and rig.got == []        # never on the wire
    assert [wants(rig, address) for address in (US, GROUP, OTHER, BROADCAST, PEER)] == [True, True, False, False, False]
    rig.setup(BROADCAST, PEER)
    assert [wants(rig, address) for address in (US, BROADCAST, PEER)] == [False, True, True]
    assert rig.csr(6) & 0x15 == 0


def test_sixteen_addresses():
    rig = started()
    addresses = [bytes([2, 0, 0, 0, 0, n]) for n in range(16)]
    rig.setup(*addresses)
    assert all(wants(rig, address) for address in addresses) and not wants(rig, bytes([2, 0, 0, 0, 0, 16]))


def test_an_inverse_filter():
    rig = started()
    rig.setup(US, GROUP, control=b.T_FT1)
    assert [wants(rig, address) for address in (US, GROUP, OTHER, BROADCAST)] == [False, False, True, True]
    assert rig.csr(6) & 0x15 == b.IF


def test_a_hash_filter():
    rig = started()
    rig.setup(US, control=b.T_FT0, table=1 << hash_of(GROUP) | 1 << 255 | 1 << hash_of(OTHER))
    assert [wants(rig, address) for address in (US, GROUP, BROADCAST, OTHER, PEER)] == [True, True, True, False, False]
    assert rig.csr(6) & 0x15 == b.HP
    rig.setup(US, control=b.T_FT0 | b.T_FT1, table=1 << hash_of(OTHER))
    assert [wants(rig, address) for address in (US, GROUP, OTHER)] == [False, False, True]
    assert rig.csr(6) & 0x15 == b.HP | b.HO


def test_the_hash_is_the_crc_of_an_address():
    assert hash_of(BROADCAST) == 255
    assert hash_of(bytes.fromhex("0180c2000000")) == ~zlib.crc32(bytes.fromhex("0180c2000000")) % 512


@given(st.lists(st.binary(min_size=6, max_size=6), min_size=1, max_size=16), st.binary(min_size=6, max_size=6))
def test_filters_agree_with_sets(addresses, other):
    rig = started()
    rig.setup(*addresses)
    table = 0
    for address in addresses:
        table |= 1 << hash_of(address)
    for address in [*addresses, other]:
        assert bool(wants(rig, address)) == (address in addresses)
    rig.setup(US, control=b.T_FT0 | b.T_FT1, table=table)
    for address in [*addresses, other]:
        assert bool(wants(rig, address)) == bool(table >> hash_of(address) & 1)


@pytest.mark.parametrize("length", [0, 191, 193])
def test_a_setup_frame_of_another_length_changes_nothing(length):
    rig = started()
    rig.setup(US)
    rig.descriptor(0x2000 + 16 * rig.tx, b.OWN, b.T_SET | length, 0x10000)
    rig.csr(1, 0)
    assert wants(rig, US) and rig.status(0x2000 + 16 * rig.tx) == b.T_NOTHING


def test_promiscuous_marks_only_what_the_filter_would_not_have_passed():
    for mode in (b.PR, b.RA):
        rig = started(mode)
        rig.setup(US)
        assert [wants(rig, address) for address in (US, OTHER, BROADCAST)] == [True, None, None]


def test_pass_all_multicast():
    rig = started(b.PM)
    rig.setup(US)
    assert [wants(rig, address) for address in (US, GROUP, BROADCAST, OTHER)] == [True, True, True, False]


def test_a_frame_over_several_descriptors():
    rig = started()
    rig.setup(US)
    whole = frame(US, 300)
    for n in range(3):
        rig.give(size=64, second=68)
    assert rig.wire.send(whole)
    got = b"".join(rig.memory.read(RX_DATA + 4096 * n + 2048 * m, size) for n in range(3) for m, size in enumerate((64, 68)))
    assert got[:304] == whole + zlib.crc32(whole).to_bytes(4, "little") and got[304:] == bytes(92)
    assert [rig.status(RX + 16 * n) for n in range(3)] == [b.R_FS, 0, 304 << 16 | b.R_LS | b.R_FT]


def test_a_frame_that_does_not_fit_is_cut_and_says_so():
    rig = started()
    rig.setup(US)
    rig.csr(5, 0x1FFFF)
    at = rig.give(size=64)
    assert not rig.wire.send(frame(US, 300))
    assert rig.status(at) == 304 << 16 | SEEN | b.R_ES | b.R_DE
    assert rig.csr(5) & 0xFFFFF == b.RX_SUSPENDED << 17 | b.RI | b.RU | b.NIS | b.AIS


def test_frames_without_a_buffer_are_missed_and_counted():
    rig = started()
    rig.setup(US)
    rig.csr(5, 0x1FFFF)
    assert not rig.wire.send(frame(US))
    assert rig.csr(5) & 0xFFFFF == b.RX_SUSPENDED << 17 | b.RU | b.AIS
    rig.csr(5, b.RU)
    assert not rig.wire.send(frame(US)) and not rig.csr(5) & b.RU     # RU once
    rig.wire.send(frame(OTHER))                                       # not ours to miss
    assert (rig.csr(8), rig.csr(8)) == (0xE0000002, 0xE0000000)
    rig.csr(2, 0)
    assert rig.csr(5) >> b.RX_STATE & 7 == b.RX_SUSPENDED
    rig.give()
    rig.csr(2, 0)
    assert rig.csr(5) >> b.RX_STATE & 7 == b.RX_WAITING
    assert rig.wire.send(frame(US)) and not rig.wire.send(frame(US))
    assert rig.csr(5) & b.RU and rig.csr(8) == 0xE0000001


def test_the_next_frame_wakes_a_suspended_process():
    rig = started()
    rig.setup(US)
    rig.wire.send(frame(US))
    rig.give()
    assert rig.wire.send(frame(US)) and rig.csr(5) >> b.RX_STATE & 7 == b.RX_WAITING


def test_the_counter_of_missed_frames_overflows():
    rig = started()
    rig.setup(US)
    rig.tulip.receiver.missed = 0xFFFF
    rig.wire.send(frame(US))
    assert rig.tulip.receiver.missed == b.MISSED_OVERFLOW
    rig.wire.send(frame(US))
    assert rig.csr(8) == 0xE0010001


def test_a_stopped_process_hears_nothing_and_counts_nothing():
    rig = started()
    rig.setup(US)
    rig.give()
    rig.csr(6, 0)
    assert not rig.wire.send(frame(US)) and rig.csr(8) == 0xE0000000 and rig.status(RX) & b.OWN


def test_a_buffer_outside_memory():
    rig = started()
    rig.setup(US)
    rig.descriptor(RX, b.OWN, 1536, 0xFFFFF000)
    assert not rig.wire.send(frame(US)) and rig.csr(5) & b.FBE and rig.csr(5) & 7 << b.RX_STATE == 0
    rig = started()
    rig.setup(US)
    rig.wire.send(frame(US))
    rig.tulip.receiver.list.at = 0xFFFFFFF0
    rig.csr(2, 0)
    assert rig.csr(5) & b.FBE


def test_buffers_without_room_do_not_hold_up_the_host():
    class Endless:
        reads = 0

        def read(self, address, length):
            self.reads += 1
            return b"\0\0\0\x80" + bytes(12)

        def write(self, address, data):
            pass
    rig = started(b.PR)
    rig.tulip.memory = memory = Endless()
    assert not rig.wire.send(frame(US))
    assert memory.reads < 3 * MOST_BUFFERS and rig.csr(5) & b.RU


def test_a_descriptor_that_follows_itself():
    rig = started(b.PR)
    rig.descriptor(RX, b.OWN, b.CHAINED | 64, RX_DATA, RX)
    assert not rig.wire.send(frame(US, 300))
    assert rig.status(RX) & (b.OWN | b.R_DE) == b.R_DE
