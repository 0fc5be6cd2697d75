"""The oracle door: protocol lines with a word wrong, and good ones that reach deep into the board."""

import base64
import os
import tempfile

from tests.fuzz.engine import number
from tests.property.test_board import PORTS
from vmio.qtest import Door

WORDS = ("", "0x", "-1", "1.5", "banana", "0xFFFFFFFFFFFFFFFFFF", "99999999999999999999", "0b11", "1_000", "é", "\0", "%s", "0x-1")
PLACES = (0x1000, 0x2000, 0xFED9_0018, 0xFED9_0000, 0xFED9_0090, 0xFE00_0014, 0xFE00_1000, 0xFE00_0000, 0x10_0000 - 2,
          (1 << 20) - 1, 1 << 30, (1 << 64) - 1)


def hexadecimal(dice, bits):
    value = number(dice, bits)
    return dice.choice((hex(value), str(value)))


def line(dice):
    """A command as a client would write it."""
    what = dice.randrange(16)
    letter = dice.choice("bwl")
    if what < 3:
        port = dice.choice(PORTS) if dice.random() < 0.9 else dice.randrange(0x1_0000)
        return f"in{letter} {port:#x}"
    if what < 7:
        if dice.random() < 0.3:     # PCI: an address and a value that make a BAR or a command register
            slot, register = dice.choice((1, 3, 4)), dice.choice((4, 0x10, 0x14, 0x20, 0x3C))
            return dice.choice((f"outl 0xcf8 {0x8000_0000 | slot << 11 | register:#x}", "outl 0xcfc 0xfe000000",
                                "outw 0xcfc 0x7", "outl 0xcfc 0xffffffff"))
        return f"out{letter} {dice.choice(PORTS):#x} {hexadecimal(dice, 32)}"
    at = dice.choice(PLACES) + dice.choice((0, 0, 4, 8, dice.randrange(0x1000)))
    at = hex(at & (1 << 64) - 1) if dice.random() < 0.9 else hexadecimal(dice, 64)
    size, length = dice.choice("bwlq"), dice.randrange(1, 64)
    if what < 9:
        return f"read{size} {at}"
    if what < 12:
        return f"write{size} {at} {hexadecimal(dice, 64)}"
    data = dice.randbytes(length)
    if what < 13:
        return dice.choice((f"read {at} {length}", f"b64read {at} {length}", f"memset {at} {length} 0x55"))
    if what < 14:
        return dice.choice((f"write {at} {length} 0x{data.hex()}", f"b64write {at} {length} {base64.b64encode(data).decode()}"))
    if what < 15:
        return dice.choice(("clock_step", f"clock_step {dice.randrange(2_000_000)}", "clock_set 0",
                            f"clock_step {dice.randrange(50_000_000)}"))
    return dice.choice(("irq_intercept_in ioapic", "irq_intercept_out i8259", "endianness", "frobnicate", ""))


def spoilt(dice, text):
    """One word of it left out, added, or replaced."""
    words = text.split(" ")
    at, how = dice.randrange(len(words)), dice.randrange(4)
    if how == 0:
        del words[at]
    elif how == 1:
        words.insert(at, dice.choice(WORDS))
    elif how == 2:
        words[at] = dice.choice(WORDS)
    else:
        words[at] = words[at][:dice.randrange(len(words[at]) + 1)]
    text = " ".join(words)
    # Time is the client's own to spend: days of it, with a timer that runs, are no attack but a long wait.
    return "clock_step 7" if text.startswith("clock_s") and any(len(word) > 9 for word in words[1:]) else text


def life(dice, operations, note):
    with tempfile.NamedTemporaryFile(suffix=".img", delete=False) as image:
        image.write(b"sector01" * 64 * 64)
    try:
        door = Door(image.name, memory_mib=1, devices=("edu", "intel-iommu"))
        other = Door(memory_mib=1)
        other.guest.memory.write(0x2000, b"canary")
        for _ in range(operations):
            text = line(dice)
            if dice.random() < 0.2:
                text = spoilt(dice, text)
            answer = door.answer(text)
            assert not answer and not text.split() or answer[-1].startswith(("OK", "FAIL ")), (text, answer)
            assert all("\n" not in each for each in answer)
            assert all(each.startswith(("IRQ raise ", "IRQ lower ")) for each in answer[:-1])
            head = answer[-1].split()[:2] if answer and answer[-1].startswith("FAIL") else [answer[-1][:5]] if answer else []
            note((text.split(" ")[0][:12], *head, len(answer)))
            assert len(door.guest.clock._heap) < 400 and len(door._unfinished) < 400 and not door._events
        assert other.guest.memory.read(0x2000, 6) == b"canary"
        door.board.reset()
        for text, wanted in (("outb 0x3fb 0x3", "OK"), ("outb 0x3ff 0x5a", "OK"), ("inb 0x3ff", "OK 0x005a"), ("writel 0x3000 0x1234", "OK"),
                             ("readl 0x3000", "OK 0x0000000000001234")):
            assert door.answer(text)[-1] == wanted, text
    finally:
        os.unlink(image.name)
