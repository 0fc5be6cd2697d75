"""The oracle door: protocol lines with a word wrong, and good ones that reach deep into the board."""

import base64

from tests.fuzz.engine import number
from tests.board_rig import PORTS
from vmio.oracle.qtest import Door

WORDS = ("", "0x", "-1", "1.5", "banana", "0xFFFFFFFFFFFFFFFFFF", "99999999999999999999", "0b11", "1_000", "é", "\0", "%s",
         "0x-1", "0", "0x1000001")
PLACES = (0x1000, 0x2000, 0xFED9_0018, 0xFED9_0000, 0xFED9_0090, 0xFE00_0014, 0xFE00_1000, 0xFE00_0000, 0x10_0000 - 2,
          (1 << 20) - 1, 1 << 30, (1 << 64) - 1)

KINDS = ("right",) * 4 + ("spoilt",)
# The forms of each command: P port, A address, L length, V value, X hexadecimal, B base64, S and T times, N a name.
GRAMMAR = {"read": ("AL",), "write": ("ALX",), "b64read": ("AL",), "b64write": ("ALB",), "memset": ("ALV",),
           "clock_step": ("", "S"), "clock_set": ("T",), "irq_intercept_in": ("N",), "irq_intercept_out": ("N",),
           "endianness": ("",)}
GRAMMAR |= {"in" + each: ("P",) for each in "bwl"} | {"out" + each: ("PV",) for each in "bwl"}
GRAMMAR |= {"read" + each: ("A",) for each in "bwlq"} | {"write" + each: ("AV",) for each in "bwlq"}


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
                            f"clock_step {dice.randrange(50_000_000)}", f"clock_step {number(dice, 64)}"))
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
    return " ".join(words)


def fits(word, kind, words, now):
    """May this word stand there?  The protocol's rules once more, in other words than the door's."""
    if kind == "X":
        digits = word.removeprefix("0x")
        return len(digits) % 2 == 0 and set(digits) <= set("0123456789abcdefABCDEF")
    if kind == "B":
        try:
            return len(base64.b64decode(word, validate=True)) == int(words[2], 0)
        except ValueError:
            return False
    if kind == "N":
        return True
    try:
        value = int(word, 0)
    except ValueError:
        return False
    least, most = {"P": (0, 0xFFFF), "L": (1, 16 << 20), "V": (0, (1 << 64) - 1), "A": (0, (1 << 64) - 1),
                   "S": (0, (1 << 63) - now), "T": (now, 1 << 63)}[kind]
    return least <= value <= most


def legal(text, now):
    """Is this a line to which OK may be the answer?"""
    words = text.split()
    forms = GRAMMAR.get(words[0]) if words else ("",)
    return forms is not None and any(len(form) == len(words) - 1 and all(
        fits(word, kind, words, now) for word, kind in zip(words[1:], form)) for form in forms)


class Machine:
    """A door with a disk, `edu` and an IOMMU; another board beside it."""

    def __init__(self, dice):
        self.door = Door(b"sector01" * 64 * 64, memory_mib=1, devices=("edu", "intel-iommu"))
        self.door.max_timers = 1000
        self.other = Door(memory_mib=1)
        self.other.guest.memory.write(0x2000, b"canary")

    def step(self, dice, kind):
        text = line(dice)
        if kind == "spoilt":
            text = spoilt(dice, text)
        now, beside = self.door.guest.clock.now, self.beside(text)
        before = [self.door.guest.memory.read(at, 8) for at in beside]
        answer = self.door.answer(text)
        assert not answer and not text.split() or answer[-1].startswith(("OK", "FAIL ")), (text, answer)
        assert not answer or answer[-1].startswith("FAIL") or legal(text, now), (text, answer)
        assert all("\n" not in each for each in answer)
        assert all(each.startswith(("IRQ raise ", "IRQ lower ")) for each in answer[:-1])
        assert now <= self.door.guest.clock.now
        assert before == [self.door.guest.memory.read(at, 8) for at in beside], (text, "more than it said")
        head = answer[-1].split()[:2] if answer and answer[-1].startswith("FAIL") else [answer[-1][:5]] if answer else []
        return text.split(" ")[0][:12], *head, len(answer)

    def beside(self, text):
        """Addresses of the RAM just before and after what a command writes; none while a device may write there."""
        words, clock = text.split(), self.door.guest.clock
        if (len(words) < 4 or words[0] not in ("write", "b64write", "memset") or not legal(text, 0)
                or self.door._unfinished or clock.deadline() <= clock.now):
            return ()
        at, length = int(words[1], 0), int(words[2], 0)
        return (at - 8, at + length) if 8 <= at and at + length + 8 <= 1 << 20 else ()

    def check(self):
        """Nothing that a client does piles up."""
        door = self.door
        assert len(door.guest.clock._heap) < 400 and len(door._unfinished) < 400 and not door._events

    def end(self):
        """The other board has noticed nothing, and this one works after a reset."""
        assert self.other.guest.memory.read(0x2000, 6) == b"canary"
        self.door.board.reset()
        for text, wanted in (("outb 0x3fb 0x3", "OK"), ("outb 0x3ff 0x5a", "OK"), ("inb 0x3ff", "OK 0x005a"),
                             ("writel 0x3000 0x1234", "OK"), ("readl 0x3000", "OK 0x0000000000001234")):
            assert self.door.answer(text)[-1] == wanted, text
