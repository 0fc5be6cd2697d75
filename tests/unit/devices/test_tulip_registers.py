"""The Tulip's registers: after a reset, what each keeps, the summaries of interrupts, the timer, the general-purpose port."""

import pytest
from tests.tulip_rig import BROADCAST, ENABLED, RX, TX, US, Rig, frame

from vmio.devices.net.tulip import bits as b
from vmio.devices.net.tulip.tulip import Tulip
from vmio.machine.bus import BadAccess
from vmio.machine.clock import Clock

RESETS = {"21140A": [0xFE000000, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0, 0xFC000000, 0x32000040, 0xFFFE0000, 0xE0000000, 0xFFF483FF, 0, 0xFFFE0000,
                     0xFFFFFE00, 0, 0, 0xFFFFFEC8],
          "21143": [0xFE000000, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0, 0xF0000000, 0x32000040, 0xF3FE0000, 0xE0000000, 0xFFF483FF, 0, 0xFFFE0000,
                    0x00005000, 0xFFFF0000, 0xFFFFFFFF, 0x8FF00000]}


@pytest.mark.parametrize("chip", RESETS)
def test_after_power_on_and_after_a_reset(chip):
    rig = Rig(chip)
    assert [rig.csr(n) for n in range(16)] == RESETS[chip]
    rig.start()
    rig.csr(11, 0x10005)
    rig.csr(12, 0x1FF)
    rig.csr(12, 0x55)
    rig.give()
    assert not rig.wire.send(frame(US)) or rig.status(RX) & b.OWN     # nothing is wanted before a setup frame
    rig.csr(0, 1)
    assert [rig.csr(n) for n in range(16)] == RESETS[chip] and rig.line == 0
    rig.later(10**9)
    assert rig.csr(5) == RESETS[chip][5]        # the timer is off


def test_what_is_asked_for_wrongly():
    with pytest.raises(ValueError, match="chip '21041': choose one of 21140A, 21143"):
        Tulip(Clock(), US, "21041")
    with pytest.raises(ValueError, match="pace 'fast': choose one of instant, wire"):
        Tulip(Clock(), US, pace="fast")
    with pytest.raises(ValueError, match="address ff:ff:ff:ff:ff:ff: a group's"):
        Tulip(Clock(), BROADCAST)


def test_accesses_of_other_sizes():
    rig = Rig()
    for offset, size in ((128, 4), (-8, 4), (0x28, 3), (0x28, 8)):
        with pytest.raises(BadAccess):
            rig.tulip.read(offset, size)
        with pytest.raises(BadAccess):
            rig.tulip.write(offset, size, 0)
    assert [rig.tulip.read(at, 4) for at in range(0, 128, 8)] == RESETS["21140A"]
    assert {rig.tulip.read(at, 4) for at in range(4, 128, 8)} == {0}
    rig.tulip.write(0x5C, 4, 0xFFFFFFFF)              # between two registers
    assert [rig.csr(n) for n in range(16)] == RESETS["21140A"]
    assert (rig.tulip.read(0x48, 1), rig.tulip.read(0x48, 2)) == (0xFF, 0x83FF)
    rig.tulip.write(0x78, 2, 0xFFFF)
    assert rig.csr(15) == 0xFFFF


def test_registers_keep_what_is_written_and_nothing_else():
    rig = Rig()
    for n in (0, 3, 4, 9, 10, 15):
        rig.csr(n, 0x0001A5A4)
        assert rig.csr(n) == 0x0001A5A4, n
    for n in (1, 2):
        rig.csr(n, 0)
        assert rig.csr(n) == 0xFFFFFFFF
    rig.csr(3, 0x1237)
    assert rig.csr(3) == 0x1234                       # longwords
    before = rig.csr(9)
    rig.csr(8, 0x1234)
    assert (rig.csr(8), rig.csr(9)) == (0xE0000000, before)
    rig.csr(6, b.HP | b.HO | b.IF | b.PR)
    assert rig.csr(6) == b.PR                          # the filter's three bits are the chip's


def test_a_summary_is_of_enabled_events_and_a_line_of_enabled_summaries():
    rig = Rig()
    happened = b.TI | b.RU
    for enabled, summary, line in ((0, 0, 0), (b.TI, b.NIS, 0), (b.TI | b.NIS, b.NIS, 1), (b.RU | b.NIS, b.AIS, 0), (b.RU | b.AIS, b.AIS, 1),
                                   (b.RI | b.NIS | b.AIS, 0, 0), (happened | b.AIS, b.NIS | b.AIS, 1), (b.GTE | b.NIS, 0, 0)):
        rig.tulip.status.happened(happened)
        rig.csr(7, enabled)
        assert (rig.csr(5) & 0x1FFFF, rig.line) == (happened | summary, line), hex(enabled)
    rig.csr(7, happened | b.NIS | b.AIS)
    rig.csr(5, b.NIS | b.AIS)                          # a summary can't be cleared alone
    assert rig.csr(5) & 0x1FFFF == happened | b.NIS | b.AIS
    rig.csr(5, b.RU)
    assert rig.csr(5) & 0x1FFFF == b.TI | b.NIS and rig.line
    rig.csr(5, b.TI)
    assert rig.csr(5) & 0x1FFFF == 0 and not rig.line


@pytest.mark.parametrize(("chip", "bits", "abnormal"), [
    ("21140A", b.LNP | b.LNF | b.GPI | b.LC, False), ("21143", b.LNP, True), ("21143", b.LNF, True), ("21143", b.LC, True), ("21143", b.GPI, True),
    ("21140A", b.ETI, True), ("21140A", b.FBE, True), ("21140A", b.RPS, True)])
def test_which_events_a_chip_has(chip, bits, abnormal):
    rig = Rig(chip)
    rig.csr(7, 0xFFFFFFFF)
    rig.tulip.status.happened(bits)
    assert bool(rig.csr(5) & b.AIS) == abnormal == bool(rig.line)
    rig.csr(5, bits)
    assert bool(rig.csr(5) & bits) != abnormal or chip == "21140A" and abnormal


def test_the_states_are_not_cleared_by_software():
    rig = Rig()
    rig.start()
    state = rig.csr(5) & 0x3F << 17
    assert state == b.RX_WAITING << 17 | b.TX_SUSPENDED << 20
    rig.csr(5, 0xFFFFFFFF)
    assert rig.csr(5) & 0x3F << 17 == state
    rig.csr(6, b.MUST_BE_ONE)
    assert rig.csr(5) & 0x3F << 17 == 0 and not rig.csr(5) & (b.TPS | b.RPS)


@pytest.mark.parametrize(("mode", "tick"), [(0, 204_800), (b.PS, 81_920), (b.PS | b.TTM, 819_200), (b.TTM, 204_800)])
def test_the_timer_counts_cycles_of_the_wire(mode, tick):
    rig = Rig()
    rig.csr(6, mode)
    rig.csr(7, b.GTE | b.NIS)
    rig.csr(11, 3)
    assert rig.csr(11) == 3
    rig.later(tick)
    assert rig.csr(11) == 2
    rig.later(tick + 1)
    assert rig.csr(11) == 1 and not rig.line
    rig.later(tick - 1)
    assert rig.csr(5) & 0x1FFFF == b.GTE | b.NIS and rig.line and rig.csr(11) == 0
    rig.csr(5, b.GTE)
    rig.later(100 * tick)
    assert not rig.line


def test_the_timer_that_begins_anew_and_the_one_that_is_stopped():
    rig = Rig()
    rig.csr(6, b.PS)
    rig.csr(11, b.TIMER_CONTINUOUS | 2)
    for _ in range(3):
        rig.later(2 * 81_920)
        assert rig.csr(5) & b.GTE and rig.csr(11) == b.TIMER_CONTINUOUS | 2
        rig.csr(5, b.GTE)
    rig.later(81_920)
    rig.csr(11, b.TIMER_CONTINUOUS | 2)                # from now on
    rig.later(81_920)
    assert not rig.csr(5) & b.GTE
    rig.csr(11, 0)
    rig.later(10**9)
    assert not rig.csr(5) & b.GTE and rig.csr(11) == 0


def test_eight_pins():
    rig = Rig()
    rig.csr(12, 0x10F)                                 # the low four are outputs
    rig.csr(12, 0xA5)
    assert rig.csr(12) == 0xFFFFFE05
    rig.csr(12, 0x1FF)
    assert rig.csr(12) == 0xFFFFFEA5
    sia = Rig("21143")
    sia.csr(12, 0x1FF)
    assert sia.csr(12) == 0x5000


def test_lists_begin_where_their_registers_say():
    rig = Rig()
    rig.start(enabled=ENABLED)
    assert (rig.csr(3), rig.csr(4)) == (RX, TX) and rig.csr(5) & 0x1FFFF == 0
