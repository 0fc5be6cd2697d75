"""CSR11 of the 21143: interrupts of received and sent frames held back by number and by time; what the register tells; checkpoints."""


import pytest
from tests.tulip_rig import PEER, RX, RX_DATA, US, Rig, frame

from vmio.devices.net.tulip import bits as b

UNIT = 5_120                # ns: 128 cycles of 25 MHz
EVENTS = b.RI | b.TI


def rig_with(value, mode=b.PS):
    """A 21143 whose CSR11 is `value`, with 32 receive buffers."""
    rig = Rig("21143")
    for n in range(32):
        rig.descriptor(RX + 16 * n, b.OWN, (b.END_OF_RING if n == 31 else 0) | 1536, RX_DATA + 2048 * n)
    rig.start(b.MUST_BE_ONE | b.PR | mode)
    rig.csr(11, value)
    return rig


def hear(rig, count=1, gap=0):
    """Frames come, so far apart; returns how many times the line rose."""
    before = rig.edges
    for n in range(count):
        if n:
            rig.later(gap)
        assert rig.wire.send(frame(US, source=PEER))
    return (rig.edges - before + 1) // 2


def limits(frames=0, units=0, sent=0, sent_units=0, short=b.CYCLE_SHORT):
    return short | frames << b.RX_FRAMES | units << b.RX_TIME | sent << b.TX_FRAMES | sent_units << b.TX_TIME


def test_nothing_is_held_back_before_it_is_asked_for():
    rig = Rig("21143")
    rig.descriptor(RX, b.OWN, 1536, RX_DATA)
    rig.start(b.MUST_BE_ONE | b.PR)
    assert rig.csr(11) == 0xFFFE_0000
    hear(rig)
    assert rig.csr(5) & b.RI and rig.line
    for value in (0, b.CYCLE_SHORT):
        rig = rig_with(value)
        hear(rig)
        assert rig.line and rig.csr(11) == value


def test_a_number_of_frames():
    rig = rig_with(limits(frames=3))
    assert [hear(rig) for _ in range(3)] == [0, 0, 1]
    hear(rig, 5)                                             # while the bit is set they count for nothing
    rig.csr(5, b.RI)
    assert not rig.line and [hear(rig) for _ in range(3)] == [0, 0, 1]
    rig.csr(5, b.RI)
    hear(rig, 2)
    rig.later(10**9)
    assert not rig.line and not rig.csr(5) & b.RI            # without a time the third one is waited for


@pytest.mark.parametrize(("mode", "short", "unit"), [(b.PS, b.CYCLE_SHORT, 5_120), (b.PS, 0, 81_920), (b.PS | b.TTM, b.CYCLE_SHORT, 51_200),
                                                     (0, b.CYCLE_SHORT, 12_800), (0, 0, 204_800)])
def test_a_time_in_cycles_of_the_wire(mode, short, unit):
    rig = rig_with(limits(units=4, short=short), mode)
    hear(rig)
    rig.later(4 * unit - 1)
    assert not rig.line
    rig.later(1)
    assert rig.line and rig.csr(5) & b.RI


def test_each_frame_begins_the_time_anew():
    rig = rig_with(limits(units=4))
    assert hear(rig, 6, gap=3 * UNIT) == 0
    rig.later(4 * UNIT)
    assert rig.line
    rig = rig_with(limits(frames=4, units=4))
    assert hear(rig, 4, gap=3 * UNIT) == 1                   # the number ends it


def test_the_register_tells_what_is_left():
    rig = rig_with(limits(frames=5, units=4, sent=6, sent_units=2) | 7)
    assert rig.csr(11) == limits(5, 4, 6, 2) | 7
    hear(rig, 2)
    rig.later(UNIT + 1)
    assert rig.csr(11) == limits(3, 3, 6, 2) | 7
    rig.later(3 * UNIT)
    assert rig.csr(11) == limits(5, 4, 6, 2) | 7 and rig.csr(5) & b.RI


def test_a_write_in_between():
    rig = rig_with(limits(frames=3))
    hear(rig, 2)
    rig.csr(11, limits(frames=3))                            # counted anew
    assert hear(rig, 2) == 0 and hear(rig) == 1
    for value, now in ((0, True), (limits(units=1), True), (limits(frames=7), False)):
        rig = rig_with(limits(frames=3))
        hear(rig)
        rig.csr(11, value)
        assert bool(rig.line) == now
    rig = rig_with(limits(units=4))
    hear(rig)
    rig.later(UNIT)
    rig.csr(11, limits(units=15))                            # the time that runs, runs on
    rig.later(3 * UNIT)
    assert rig.line


def test_frames_that_are_sent():
    rig = rig_with(limits(sent=3))
    for _ in range(2):
        rig.send(frame(), flags=0)
    assert not rig.csr(5) & b.TI
    rig.send(frame(), flags=0)
    assert rig.csr(5) & b.TI
    rig.csr(5, 0x1FFFF)
    rig.send(frame())                                        # IC is no wish, it is an order
    assert rig.csr(5) & b.TI
    rig = rig_with(limits(sent_units=2))
    rig.send(frame(), flags=0)
    rig.csr(5, b.TU)
    rig.later(32 * UNIT - 1)
    assert not rig.csr(5) & b.TI
    rig.later(1)
    assert rig.csr(5) & b.TI and rig.line
    rig = rig_with(0)
    rig.send(frame(), flags=0)
    assert not rig.csr(5) & b.TI


def test_other_events_are_told_at_once():
    rig = rig_with(limits(frames=7, units=15))
    rig.descriptor(RX + 16, 0, 1536, RX_DATA)
    hear(rig)
    assert not rig.line
    rig.wire.send(frame(US))
    assert rig.csr(5) & (b.RU | b.RI) == b.RU and rig.line


def test_a_21140a_has_none():
    rig = Rig()
    rig.descriptor(RX, b.OWN, 1536, RX_DATA)
    rig.start(b.MUST_BE_ONE | b.PR)
    rig.csr(11, limits(7, 15))
    hear(rig)
    assert rig.line and rig.csr(11) == limits(7, 15)


def test_a_reset_forgets_what_waits():
    rig = rig_with(limits(frames=7, units=4))
    hear(rig)
    rig.csr(0, 1)
    rig.later(10**6)
    assert not rig.csr(5) & EVENTS and rig.csr(11) == 0xFFFE_0000


def test_a_checkpoint_while_one_waits():
    one, two = (rig_with(limits(frames=3, units=9)) for _ in range(2))
    hear(one)
    one.later(2 * UNIT)
    two.later(2 * UNIT)
    two.tulip.restore(one.tulip.save())
    two.memory.write(0, one.memory.read(0, 1 << 20))
    assert two.csr(11) == one.csr(11) == limits(2, 7)
    for rig in (one, two):
        rig.later(7 * UNIT - 1)
        assert not rig.line
        rig.later(1)
        assert rig.line
    fresh = Rig("21143")
    fresh.tulip.restore(Rig("21143").tulip.save())
    assert fresh.csr(11) == 0xFFFE_0000
