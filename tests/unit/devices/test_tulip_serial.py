"""The Tulip's two serial wires: the ROM, bit by bit as Linux reads it, and the registers of the PHY."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tulip_rig import US, Rig

from vmio.devices.net.tulip import bits as b
from vmio.devices.net.tulip.chips import CHIPS
from vmio.devices.net.tulip.srom_image import id_checksum, image

SELECT, CLOCK, IN, OUT = 0x4801, 0x4803, 4, 8


class Pins(Rig):
    """CSR9, as drivers move it."""

    def shift(self, bits, count):
        """Give `count` bits to the ROM; returns what it said meanwhile."""
        said = 0
        for n in range(count - 1, -1, -1):
            bit = IN if bits >> n & 1 else 0
            self.csr(9, SELECT | bit)
            self.csr(9, CLOCK | bit)
            said = said << 1 | bool(self.csr(9) & OUT)
        return said

    def command(self, bits, count, data=0, data_bits=0):
        """One whole command; returns what the ROM said after it."""
        self.csr(9, 0x4800)
        self.csr(9, SELECT)
        self.shift(bits, count)
        said = self.shift(data, data_bits)
        self.csr(9, 0x4800)
        return said

    def word(self, n):
        """Read a word."""
        return self.command(0b110 << 6 | n, 9, data_bits=16)

    def mdio(self, bits, count):
        """Give bits to the PHY."""
        for n in range(count - 1, -1, -1):
            bit = b.MDO if bits >> n & 1 else 0
            self.csr(9, bit)
            self.csr(9, bit | b.MDC)

    def phy(self, register, phy=1):
        """Read a register of a PHY's, as Linux's tulip_mdio_read does."""
        self.mdio((1 << 35) - 1, 35)
        self.mdio(0b0110 << 10 | phy << 5 | register, 14)
        said = 0
        for _ in range(19):
            self.csr(9, b.MII_INPUT)
            said = said << 1 | bool(self.csr(9) & b.MDI)
            self.csr(9, b.MII_INPUT | b.MDC)
        return said >> 1 & 0xFFFF

    def set_phy(self, register, value, phy=1):
        """Write one."""
        self.mdio((1 << 32) - 1, 32)
        self.mdio((0b0101 << 10 | phy << 5 | register) << 18 | 0b10 << 16 | value, 32)


@pytest.mark.parametrize("chip", CHIPS)
def test_the_rom_word_by_word(chip):
    pins = Pins(chip)
    found = b"".join(pins.word(n).to_bytes(2, "little") for n in range(64))
    assert found == image(CHIPS[chip], US)
    assert found[20:26] == US and found[16] == id_checksum(found)
    assert int.from_bytes(found[126:], "little") == zlib.crc32(found[:126]) & 0xFFFF
    leaf = found[27]
    assert found[leaf:leaf + 2] == b"\x00\x08"                       # autosense
    count = leaf + 2 + (chip == "21140A")
    assert found[count] == 1 and found[count + 2] == {"21140A": 1, "21143": 3}[chip]
    assert found[:4] == {"21140A": b"\x00\x0a\x14\x21", "21143": b"\x3c\x10\x4f\x10"}[chip]


def test_the_size_is_told_by_the_zero_before_the_data():
    pins = Pins()
    pins.csr(9, 0x4800)
    pins.csr(9, SELECT)
    said = pins.shift(0b00110 << 8 | 0xFF, 13)
    assert said >> 2 & 1 == 0 and said >> 3 == 0x3FF                # the address has six bits


@given(st.integers(0, 63), st.integers(0, 0xFFFF))
def test_the_rom_is_written_only_after_it_was_allowed(n, value):
    pins = Pins()
    before = pins.word(n)
    pins.command(0b101 << 6 | n, 9, value, 16)
    assert pins.word(n) == before
    pins.command(0b100 << 6 | 0b110000, 9)                           # EWEN
    pins.command(0b101 << 6 | n, 9, value, 15)                       # a bit is missing
    assert pins.word(n) == before
    pins.command(0b101 << 6 | n, 9, value, 16)
    assert pins.word(n) == value
    pins.csr(0, 1)
    assert pins.word(n) == value                                     # a reset is the chip's, not the ROM's
    pins.command(0b111 << 6 | n, 9)
    assert pins.word(n) == 0xFFFF
    pins.command(0b100 << 6 | 0b010000, 9, value, 16)                # all
    assert {pins.word(at) for at in range(64)} == {value}
    pins.command(0b100 << 6 | 0b000000, 9)                           # EWDS
    pins.command(0b100 << 6 | 0b100000, 9)
    assert pins.word(n) == value
    pins.command(0b100 << 6 | 0b110000, 9)
    pins.command(0b100 << 6 | 0b100000, 9)
    assert pins.word(n) == 0xFFFF


def test_a_rom_that_is_not_selected_is_silent():
    pins = Pins()
    pins.csr(9, 0x4001)
    pins.csr(9, 0x4003 | IN)
    assert pins.csr(9) == 0x4003 | IN                                # bits as they were written
    assert pins.tulip.srom._ticks == 0


def test_the_phy():
    pins = Pins()
    assert [pins.phy(n) for n in range(6)] == [0x3100, 0x702C, 0x7810, 0, 0x0501, 0x4181]
    pins.set_phy(4, 0x01E1)
    assert pins.phy(4) == 0x01E1
    pins.set_phy(0, 0x1200)                                          # negotiate again: that bit is over at once
    assert pins.phy(0) == 0x1000
    pins.set_phy(1, 0xFFFF)
    assert pins.phy(1) == 0x702C                                     # status can only be read
    pins.set_phy(4, 0, phy=2)
    assert pins.phy(4) == 0x01E1
    pins.set_phy(0, 0x8000)
    assert (pins.phy(0), pins.phy(4)) == (0x3100, 0x0501)


@pytest.mark.parametrize(("chip", "word"), [("21140A", 0xFFFF), ("21143", 0)])
def test_a_phy_that_is_not_there(chip, word):
    assert {Pins(chip).phy(n, phy) for n in range(4) for phy in (0, 2, 31)} == {word}


def test_two_cards_have_two_phys():
    one, two = Pins(), Pins()
    one.set_phy(4, 0x0021)
    assert two.phy(4) == 0x0501


def test_a_link_that_was_down_is_told_once():
    pins = Pins()
    pins.cable.link(False)
    assert pins.phy(1) == pins.phy(1) == 0x7008
    pins.cable.link(True)
    assert [pins.phy(1), pins.phy(1)] == [0x7008, 0x702C]
    pins.cable.link(False)
    pins.cable.link(True)
    assert [pins.phy(1), pins.phy(1)] == [0x7008, 0x702C]


def test_a_frame_that_is_no_frame():
    pins = Pins()
    pins.mdio((1 << 31) - 1, 31)                                     # one short
    pins.mdio(0b0110 << 10 | 1 << 5 | 1, 14)
    pins.mdio(0, 40)
    assert pins.phy(1) == 0x702C
    pins.mdio((1 << 32) - 1, 32)
    pins.mdio(0b0011 << 10, 14)                                      # an operation that there isn't
    assert pins.phy(1) == 0x702C
