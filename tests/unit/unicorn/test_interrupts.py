"""Interrupts of the board's PIC: when they come, what they cost, and that no instruction is done twice for them."""

import struct

from tests.machine_code import DATA, CodeGuest, by_generator, rows
from vmio.processors.kvm.code import Code

COUNT = DATA + 0x100
TIMER = 0x30


def raw(text):
    return bytes.fromhex(text.replace(" ", ""))


PIC = (Code().out(0x20, 0x11).out(0x21, 0x30).out(0x21, 4).out(0x21, 1).out(0xA0, 0x11).out(0xA1, 0x38).out(0xA1, 2).out(0xA1, 1)
       .out(0x21, 0xFE).out(0xA1, 0xFF))
TICK = Code().out(0x43, 0x30).out(0x40, 100).out(0x40, 0)                 # PIT channel 0, mode 0, 100 counts: 84 us
COUNT_UP = raw("48ff0425") + struct.pack("<I", COUNT)                      # INC QWORD [COUNT]
END = raw("50 52") + bytes(Code().out(0x20, 0x20)) + raw("5a 58 48cf")   # keep RAX and RDX; EOI; IRETQ


def same(cpu, rest):
    """The generator's part."""
    cpu.on_interrupt(TIMER, lambda cpu: cpu.outb(0x20, 0x20))
    cpu.cli()
    for port, value in ((0x20, 0x11), (0x21, 0x30), (0x21, 4), (0x21, 1), (0xA0, 0x11), (0xA1, 0x38), (0xA1, 2), (0xA1, 1),
                        (0x21, 0xFE), (0xA1, 0xFF), (0x43, 0x30), (0x40, 100), (0x40, 0)):
        cpu.outb(port, value)
    yield from rest(cpu)
    cpu.cli()
    from vmio.hypervisor.exits import ExitReason
    cpu._plain(ExitReason.HLT, 0)


def run(code):
    guest = CodeGuest()
    guest.handler(TIMER, COUNT_UP + END)
    why = guest.run(bytes(PIC) + bytes(TICK) + code + raw("fa f4"))
    assert "interrupts off" in why
    return guest


def test_asleep_until_the_tick():
    def rest(cpu):
        cpu.sti()
        yield from cpu.hlt()
    guest = run(raw("fb f4"))
    assert guest.word(COUNT) == 1 and guest.cpu.interrupts == 1
    assert rows(guest.cpu) == by_generator(lambda cpu: same(cpu, rest))


def test_one_that_came_while_they_were_off_costs_a_window():
    def rest(cpu):
        for _ in range(900):
            cpu.compute(100)
        cpu.sti()
        cpu.compute(100)
        yield from ()
    guest = run(raw("b9 84030000 f390 ffc9 75fa  fb f390"))               # 900 times PAUSE; STI; PAUSE
    assert guest.word(COUNT) == 1 and guest.cpu.exits.by_reason()["INTERRUPT_WINDOW"] == 1
    found, wanted = rows(guest.cpu), by_generator(lambda cpu: same(cpu, rest))
    assert found[0] == wanted[0]


def test_one_that_comes_while_the_guest_runs_is_an_exit_of_its_own():
    def rest(cpu):
        cpu.sti()
        for _ in range(900):
            cpu.compute(100)
        yield from ()
    guest = run(raw("fb b9 84030000 f390 ffc9 75fa"))
    assert guest.word(COUNT) == 1 and guest.cpu.exits.by_reason()["EXTERNAL_INTERRUPT"] == 1
    assert rows(guest.cpu) == by_generator(lambda cpu: same(cpu, rest))


class Doorbell:
    """A register that raises IRQ 0 at each access to it, and counts them."""

    def __init__(self, line):
        self.line, self.accesses = line, 0

    def read(self, offset, size):
        self.accesses += 1
        return self.accesses

    def write(self, offset, size, value):
        self.accesses += 1
        self.line.set(1)
        self.line.set(0)


def test_no_access_is_made_twice_for_an_interrupt():
    """The translator checks for a stop after each access to memory, and then makes the instruction anew."""
    guest, hole = CodeGuest(), 0xFEB0_0000
    bell, register = Doorbell(guest.guest.lines[0]), Doorbell(guest.guest.lines[9])
    guest.guest.io.attach(0x600, 1, bell, "bell")
    guest.guest.mmio.attach(hole, 0x1000, register, "register", width=4)
    guest.handler(TIMER, COUNT_UP + END)
    # OUT DX, AL; MOV [RDI], EAX; MOV EBX, [RDI]; ADD QWORD [], 1; DEC ECX; JNZ: one block, with the stop that the OUT asks for
    code = (bytes(PIC) + raw("fb ba 00060000 b9 e8030000 48bf") + struct.pack("<Q", hole)
            + raw("ee 8907 8b1f") + raw("48830425") + struct.pack("<I", COUNT + 8) + b"\x01" + raw("ffc9 75ee"))
    guest.run(code + raw("fa f4"))
    assert bell.accesses == 1000 and guest.word(COUNT) == 1000 and guest.cpu.interrupts == 1000
    assert register.accesses == 2000 and guest.word(COUNT + 8) == 1000


def test_a_level_that_nobody_lowers_keeps_the_guest_busy_but_not_the_host():
    guest = CodeGuest()
    guest.handler(TIMER, COUNT_UP + END)
    guest.board.pic.input(0)(1)
    guest.run(bytes(PIC) + raw("fb b9 0a000000 f390 ffc9 75fa fa f4"))
    assert guest.word(COUNT) <= 10
