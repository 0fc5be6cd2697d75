"""What exits in machine code is counted and charged as if a generator had done it."""

import pytest

from tests.machine_code import DATA, HLT, CodeGuest, by_generator, rows
from vmio.processors.kvm.code import Code

HOLE = 0xFEB0_0000
VP_INDEX, UNKNOWN_MSR = 0x4000_0002, 0x4000_0FFF


def raw(text):
    return bytes.fromhex(text.replace(" ", ""))


def halting(cpu):
    """The HLT that ends a piece of machine code: a generator that never wakes would not end."""
    from vmio.hypervisor.exits import ExitReason
    cpu._plain(ExitReason.HLT, 0)


@pytest.mark.parametrize("code, same", [
    (Code().out(0x80, 7).in_(0x80).out(0x70, 0xB).in_(0x71).out(0xCF8, 0x8000_0000, 4).in_(0xCFC, 4).in_(0xCFC, 2),
     lambda cpu: (cpu.outb(0x80, 7), cpu.inb(0x80), cpu.outb(0x70, 0xB), cpu.inb(0x71), cpu.outl(0xCF8, 0x8000_0000),
                  cpu.inl(0xCFC), cpu.inw(0xCFC))),
    (Code().out(0x3FB, 3).out(0x3F8, 65), lambda cpu: (cpu.outb(0x3FB, 3), cpu.outb(0x3F8, 65))),
    (Code().rep_ins(0x60, DATA + 0x100, 40).rep_outs(0x3F8, DATA + 0x100, 40),
     lambda cpu: (cpu.insb(0x60, DATA + 0x100, 40), cpu.outsb(0x3F8, DATA + 0x100, 40))),
    (Code().rep_ins(0x1F0, DATA + 0x100, 256, 2), lambda cpu: cpu.insw(0x1F0, DATA + 0x100, 256)),
    (Code().rep_ins(0x60, DATA + 0x100, 0), lambda cpu: cpu.insb(0x60, DATA + 0x100, 0)),
    (Code().load(HOLE).store(HOLE + 4, 9).load(HOLE, 2).store(HOLE, 1, 1),
     lambda cpu: (cpu.load(HOLE, 4), cpu.store(HOLE + 4, 4, 9), cpu.load(HOLE, 2), cpu.store(HOLE, 1, 1))),
    (Code().cpuid(1).cpuid(0x4000_0000), lambda cpu: (cpu.cpuid(1), cpu.cpuid(0x4000_0000))),
    (raw("b9 02000040 0f32 b9 20000040 0f32"), lambda cpu: (cpu.rdmsr(VP_INDEX), cpu.rdmsr(0x4000_0020))),
    (raw("0f31 0f31 f390"), lambda cpu: cpu.compute(20 + 20 + 100)),
])
def test_as_a_generator(code, same):
    guest = CodeGuest()
    assert "halted with interrupts off" in guest.run(bytes(code) + HLT)

    def program(cpu):
        same(cpu)
        halting(cpu)
    assert rows(guest.cpu) == by_generator(program)


def test_hypercalls_too():
    from vmio.hypervisor.hyperv import tlfs
    from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
    control = tlfs.SIGNAL_EVENT | tlfs.FAST

    def enlightened(cpu):
        enable_enlightenments(cpu.guest)
        cpu.wrmsr(tlfs.GUEST_OS_ID, 1)
        cpu.wrmsr(tlfs.HYPERCALL, 0x2000_01)
        result = cpu.hypercall(control, 77)
        halting(cpu)
        return result
    guest = CodeGuest()
    enable_enlightenments(guest.guest)
    wrmsr = raw("b8 01000000 31d2 b9 00000040 0f30  b8 01002000 31d2 b9 01000040 0f30")
    call = b"\xb9" + control.to_bytes(4, "little") + raw("ba 4d000000 4d31c0 48 b8 00002000 00000000 ffd0")     # CALL 200000h
    guest.run(wrmsr + call + raw("48a3") + (DATA + 0x100).to_bytes(8, "little") + HLT)
    assert guest.word() == tlfs.INVALID_CONNECTION_ID
    assert rows(guest.cpu) == by_generator(enlightened)


def test_what_was_read_arrives():
    guest = CodeGuest()
    guest.guest.io.write(0x70, 1, 0xD)
    guest.run(Code().in_(0x71, to=DATA + 0x100).rep_ins(0x71, DATA + 0x110, 3) .load(HOLE, 4, to=DATA + 0x120).hlt())
    assert guest.word(size=1) == 0x80 and guest.word(DATA + 0x110, 4) == 0x808080 and guest.word(DATA + 0x120, 4) == 0xFFFF_FFFF


def test_a_string_over_pages_is_an_exit_a_page():
    guest = CodeGuest()
    guest.run(Code().rep_ins(0x71, DATA + 0xFF0, 32).hlt())
    row, = [row for row in guest.cpu.exits.rows if row.instruction == "REP INS"]
    assert (row.count, row.moved) == (2, 32)


def test_an_exit_of_its_own_for_each_unit_downwards():
    guest = CodeGuest()
    guest.run(b"\xfd" + bytes(Code().rep_ins(0x71, DATA + 0x108, 4)) + HLT)
    row, = [row for row in guest.cpu.exits.rows if row.instruction == "REP INS"]
    assert (row.count, row.moved) == (4, 4)


def test_ones_unit_of_a_string_is_asked_of_the_device_once():
    guest, asked = CodeGuest(), []

    class Counter:
        def read(self, offset, size):
            asked.append(offset)
            return len(asked)

        def write(self, offset, size, value):
            asked.append(value)
    guest.guest.io.attach(0x600, 1, Counter(), "counter")
    guest.run(Code().rep_ins(0x600, DATA + 0x100, 5).rep_outs(0x600, DATA + 0x100, 5).hlt())
    assert guest.word(size=5) == 0x0504030201 and asked == [0, 0, 0, 0, 0, 1, 2, 3, 4, 5]
