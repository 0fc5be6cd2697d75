"""MC146818A clauses: calendar, formats, SET, UIP, the three interrupts, and the PC's use of the RAM."""

from datetime import datetime

import pytest

from vmio.devices.pc.cmos import inventory
from vmio.devices.pc.rtc import (
    A_UIP,
    B_24H,
    B_AIE,
    B_DM,
    B_PIE,
    B_SET,
    B_UIE,
    C_AF,
    C_IRQF,
    C_PF,
    C_UF,
    CRYSTAL_HZ,
    REG_A,
    REG_B,
    REG_C,
    REG_D,
    SECOND_NS,
    UIP_NS,
    Rtc,
)
from vmio.machine.bus import BadAccess
from vmio.machine.clock import Clock
from vmio.machine.lines import Line

MS = 1_000_000


class Bench:
    """A clock chip on a bench: its time, its line, its edges."""

    def __init__(self, base="2024-02-29T23:59:58", **kw):
        self.clock, self.line, self.edges = Clock(), Line("irq8"), []
        self.line.connect(lambda level: self.edges.append((self.clock.now, level)))
        self.rtc = Rtc(self.clock, self.line, base, **kw)

    def get(self, index):
        self.rtc.write(0, 1, index)
        return self.rtc.read(1, 1)

    def put(self, index, value):
        self.rtc.write(0, 1, index)
        self.rtc.write(1, 1, value)

    def step(self, ns):
        self.clock.advance_to(self.clock.now + ns)

    def date(self):
        """century, year, month, day, weekday, hour, minute, second, as the cells show them"""
        return bytes(self.get(i) for i in (0x32, 9, 8, 7, 6, 4, 2, 0)).hex(" ")


def test_power_on():
    b = Bench()
    assert [b.get(i) for i in (REG_A, REG_B, REG_C, REG_D)] == [0x26, 0x02, 0x00, 0x80]
    assert b.date() == "20 24 02 29 05 23 59 58"
    assert b.rtc.read(0, 1) == 0xFF


def test_base_as_datetime_with_a_zone():
    b = Bench(datetime.fromisoformat("2000-01-01T01:00:00+02:00"))
    assert b.date() == "19 99 12 31 06 23 00 00"


@pytest.mark.parametrize("base, after", [
    ("2024-02-28T23:59:59", "20 24 02 29 05 00 00 00"),
    ("2023-02-28T23:59:59", "20 23 03 01 04 00 00 00"),
    ("2000-02-28T23:59:59", "20 00 02 29 03 00 00 00"),
    ("2100-02-28T23:59:59", "21 00 03 01 02 00 00 00"),
    ("1999-12-31T23:59:59", "20 00 01 01 07 00 00 00"),
    ("2024-04-30T23:59:59", "20 24 05 01 04 00 00 00"),
])
def test_rollover(base, after):
    b = Bench(base)
    b.step(SECOND_NS)
    assert b.date() == after


def test_binary_and_twelve_hours():
    b = Bench("2024-11-30T12:34:56")
    b.put(REG_B, B_DM | B_24H)
    assert b.date() == "14 18 0b 1e 07 0c 22 38"
    for hour, cell in ((0, 0x12), (1, 0x01), (11, 0x11), (12, 0x92), (13, 0x81), (23, 0x91)):
        b = Bench(f"2024-01-01T{hour:02}:00:00")
        b.put(REG_B, 0)
        assert b.get(4) == cell


def test_set_by_the_book():
    """Data sheet: SET = 1, write the ten bytes, SET = 0; the clock goes on from there."""
    b = Bench()
    b.put(REG_B, B_SET | B_24H)
    for index, value in ((0x32, 0x19), (9, 0x99), (8, 0x12), (7, 0x31), (4, 0x23), (2, 0x59), (0, 0x50)):
        b.put(index, value)
    b.step(5 * SECOND_NS)
    assert b.date() == "19 99 12 31 05 23 59 50"  # held; the weekday is worked out when the clock runs again
    b.put(REG_B, B_24H)
    assert b.date() == "19 99 12 31 06 23 59 50"
    b.step(10 * SECOND_NS)
    assert b.date() == "20 00 01 01 07 00 00 00"


def test_a_time_byte_written_while_running_counts_at_once():
    b = Bench()
    b.step(SECOND_NS // 2)
    b.put(0, 0x10)
    b.step(SECOND_NS - 1)
    assert b.get(0) == 0x10
    b.step(1)
    assert b.get(0) == 0x11


def test_dividers_released_first_update_half_a_second_later():
    b = Bench()
    b.put(REG_A, 0x76)
    b.step(7 * SECOND_NS)
    assert b.get(0) == 0x58
    b.put(REG_A, 0x26)
    b.step(SECOND_NS // 2 - 1)
    assert b.get(0) == 0x58
    b.step(1)
    assert b.get(0) == 0x59


def test_uip_rises_244_us_before_the_update():
    b = Bench()
    b.step(SECOND_NS - UIP_NS - 1)
    assert not b.get(REG_A) & A_UIP
    b.step(1)
    assert b.get(REG_A) & A_UIP
    b.step(UIP_NS)
    assert not b.get(REG_A) & A_UIP
    b.put(REG_B, B_SET | B_24H)  # no update cycles while SET is 1
    b.step(SECOND_NS - 1)
    assert not b.get(REG_A) & A_UIP


def test_update_ended_interrupt_and_register_c_read_clears():
    b = Bench("2024-01-01T12:00:00")
    b.put(REG_B, B_24H | B_UIE)
    b.step(2 * SECOND_NS)
    assert b.edges == [(SECOND_NS, 1)]
    assert b.get(REG_C) == C_IRQF | C_UF
    assert b.get(REG_C) == 0
    assert b.edges[1:] == [(2 * SECOND_NS, 0)]


def test_a_flag_already_up_interrupts_when_enabled():
    b = Bench()
    b.step(SECOND_NS)
    assert b.line.level == 0
    b.put(REG_B, B_24H | B_UIE)
    assert b.line.level == 1
    b.put(REG_B, B_24H)
    assert b.line.level == 0
    assert b.get(REG_C) == C_UF


def test_set_clears_update_interrupt_enable():
    b = Bench()
    b.put(REG_B, B_SET | B_UIE | B_24H)
    assert b.get(REG_B) == B_SET | B_24H


@pytest.mark.parametrize("second, minute, hour, after", [
    (0x00, 0x00, 0x00, 2),             # midnight
    (0x58, 0x59, 0x23, 86_400),        # this very second: tomorrow
    (0xC0, 0xFF, 0xC7, 1),             # every second
    (0x30, 0xFF, 0xFF, 32),            # every minute
    (0x58, 0xFF, 0xFF, 60),
    (0x59, 0x58, 0xFF, 3541),          # every hour
    (0xFF, 0x59, 0x22, 82_742),        # any second of 22:59
    (0xFF, 0xFF, 0x12, 12 * 3600 + 2),
])
def test_alarm_time(second, minute, hour, after):
    b = Bench()
    for index, value in ((1, second), (3, minute), (5, hour)):
        b.put(index, value)
    b.put(REG_B, B_24H | B_AIE)
    b.step(after * SECOND_NS - 1)
    assert not b.edges
    b.step(1)
    assert b.edges == [(after * SECOND_NS, 1)]
    assert b.get(REG_C) & (C_IRQF | C_AF) == C_IRQF | C_AF


def test_alarm_in_twelve_hour_mode_knows_am_from_pm():
    b = Bench("2024-01-01T10:59:59")
    b.put(REG_B, B_AIE)
    b.put(5, 0x81)                     # 1 PM
    b.step(3 * 3600 * SECOND_NS)
    assert b.edges == [(2 * 3600 * SECOND_NS + SECOND_NS, 1)]


def test_an_impossible_alarm_never_rings():
    b = Bench()
    b.put(1, 0x75)
    b.put(REG_B, B_24H | B_AIE)
    b.step(3 * 86_400 * SECOND_NS)
    assert not b.edges


@pytest.mark.parametrize("rate", range(1, 16))
def test_periodic_rates(rate):
    """Table 5 with a 32.768 kHz crystal: rates 1 and 2 repeat 8 and 9."""
    b = Bench()
    b.put(REG_A, 0x20 | rate)
    b.put(REG_B, B_24H | B_PIE)
    period = 1 << ((rate + 7 if rate < 3 else rate) - 1)
    for tick in range(1, 4):
        b.step(tick * period * SECOND_NS // CRYSTAL_HZ + 1 - b.clock.now)
        assert b.edges == [(b.clock.now, 1)]
        assert b.get(REG_C) & (C_IRQF | C_PF) == C_IRQF | C_PF
        b.edges.clear()


def test_periodic_ticks_that_nobody_took_are_lost():
    b = Bench()
    b.put(REG_B, B_24H | B_PIE)
    b.step(100 * MS)
    assert len(b.edges) == 1
    b.get(REG_C)
    assert b.get(REG_C) == 0


def test_rate_zero_is_off():
    b = Bench()
    b.put(REG_A, 0x20)
    b.put(REG_B, B_24H | B_PIE)
    b.step(2 * SECOND_NS)
    assert not b.edges


def test_reset_keeps_time_and_ram():
    b = Bench()
    b.put(0x40, 0x5A)
    b.put(0x0F, 0x0A)
    b.put(REG_B, 0x7E)
    b.step(1500 * MS)
    assert b.line.level == 1
    b.rtc.reset()
    assert (b.line.level, b.get(REG_B), b.get(REG_C)) == (0, 0x16, 0)
    assert (b.get(0x40), b.get(0x0F), b.get(0)) == (0x5A, 0, 59)


def test_save_and_restore_go_on_alike():
    b = Bench()
    b.put(REG_B, B_24H | B_PIE | B_UIE)
    b.step(1234 * MS)
    twin = Bench()
    twin.clock.advance_to(b.clock.now)
    twin.rtc.restore(b.rtc.save())
    b.edges.clear(), twin.edges.clear()
    for _ in range(3):
        assert b.get(REG_C) == twin.get(REG_C)
        b.step(700 * MS), twin.step(700 * MS)
    assert b.edges == twin.edges and b.rtc.save() == twin.rtc.save()


def test_read_only_cells_and_aliases():
    b = Bench()
    b.put(REG_C, 0xFF)
    b.put(REG_D, 0x00)
    assert (b.get(REG_C), b.get(REG_D)) == (0, 0x80)
    b.put(0xC0, 0x5A)                  # bit 7 of the index is the PC's NMI mask
    assert b.get(0x40) == 0x5A
    assert b.get(0x37) == 0x20         # the PS/2's name for the century


def test_bad_access():
    b = Bench()
    for offset, size in ((0, 2), (2, 1), (1, 4)):
        with pytest.raises(BadAccess):
            b.rtc.read(offset, size)
        with pytest.raises(BadAccess):
            b.rtc.write(offset, size, 0)


def test_inventory_of_memory():
    def words(ram, *at):
        cells = inventory(ram)
        return [cells[i] | cells[i + 1] << 8 for i in at]

    assert words(16, 0x15, 0x17, 0x30, 0x34) == [640, 15 * 1024, 15 * 1024, 0]
    assert words(64, 0x17, 0x34) == [63 * 1024, 48 * 16]
    assert words(4096, 0x17, 0x34, 0x5C) == [0xFFFF, (3072 - 16) * 16, 1024 * 16 >> 8]
    with pytest.raises(ValueError, match="ram_mib is 0"):
        inventory(0)


def test_inventory_of_disks():
    cells = inventory(16, [(2, 16, 63), (2048, 4, 32)])
    assert bytes(cells[i] for i in range(0x1B, 0x2D)).hex(" ") == (
        "02 00 10 ff ff c8 02 00 3f 00 08 04 ff ff c0 00 08 20")
    assert (cells[0x12], cells[0x19], cells[0x1A], cells[0x39]) == (0xFF, 47, 47, 0x04)
    with pytest.raises(ValueError, match="at most 4"):
        inventory(16, [None] * 5)
