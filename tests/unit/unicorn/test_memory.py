"""Guest memory: shared with the devices, code that they change, pages of the hypervisor's, and what is no memory."""

import struct
import sys

import pytest

from tests.machine_code import DATA, HLT, TABLES, CodeGuest
from vmio.firmware import longmode
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.processors.kvm.code import Code
from vmio.processors.unicorn import layout, package, ram

ROUTINE = 0x200000


def raw(text):
    return bytes.fromhex(text.replace(" ", ""))


CALL = raw("48c7c0") + struct.pack("<I", ROUTINE) + raw("ffd0")        # MOV RAX, ROUTINE; CALL RAX
KEEP = [b"\xa3" + struct.pack("<Q", DATA + at) for at in (0x100, 0x108)]       # MOV [DATA + at], EAX


class Writer:
    """A device that changes the routine when it is told to."""

    def __init__(self, write):
        self.change = write

    def read(self, offset, size):
        return 0

    def write(self, offset, size, value):
        self.change(raw("b8 02000000 c3"))


@pytest.mark.parametrize("told", [Code().out(0x600, 0), Code().store(0xFE00_0000, 0)])
@pytest.mark.parametrize("by", ["DMA", "the host"])
def test_code_that_a_device_has_written_is_what_runs(by, told):
    guest = CodeGuest()
    write = (lambda data: guest.guest.memory.write(ROUTINE, data)) if by == "DMA" else (
        lambda data: guest.guest.host.memory.write(guest.guest.ram_spa(ROUTINE), data))
    guest.guest.io.attach(0x600, 1, Writer(write), "writer")
    guest.guest.mmio.attach(0xFE00_0000, 0x1000, Writer(write), "writer", width=4)
    guest.write(ROUTINE, raw("b8 01000000 c3"))                       # MOV EAX, 1; RET
    guest.run(CALL + KEEP[0] + bytes(told) + CALL + KEEP[1] + HLT)
    assert (guest.word(size=4), guest.word(DATA + 0x108, 4)) == (1, 2)


def test_a_page_of_the_hypervisors_comes_and_goes():
    guest = CodeGuest()
    enable_enlightenments(guest.guest)
    guest.write(ROUTINE, raw("b8 01000000 c3"))
    enable = raw("b8 01000000 31d2 b9 00000040 0f30  b8 01002000 31d2 b9 01000040 0f30")
    disable = raw("b8 00002000 31d2 b9 01000040 0f30")
    guest.run(CALL + KEEP[0] + enable + raw("b9 5d000100 ba 07000000") + CALL + KEEP[1] + disable + CALL + b"\xa3"
              + struct.pack("<Q", DATA + 0x110) + HLT)
    assert [guest.word(DATA + at, 4) for at in (0x100, 0x108, 0x110)] == [1, tlfs.INVALID_CONNECTION_ID, 1]


def test_a_page_that_may_not_be_written_ends_who_does():
    guest = CodeGuest()
    enable_enlightenments(guest.guest)
    why = guest.run(raw("b8 01000000 31d2 b9 00000040 0f30  b8 01002000 31d2 b9 01000040 0f30  c60425 00002000 00"))
    assert "its processor stopped" in why and "write" in why.lower()


def test_registers_that_were_passed_through_do_not_exit():
    guest, asked = CodeGuest(), []

    class Register:
        def read(self, offset, size):
            return 0x1234

        def write(self, offset, size, value):
            asked.append((offset, size, value))
    guest.guest.direct.attach(0xFE00_0000, 0x1000, Register(), "function", width=4)
    guest.run(Code().load(0xFE00_0000, 4, to=DATA + 0x100).store(0xFE00_0010, 5).hlt())
    assert guest.word(size=4) == 0x1234 and asked == [(0x10, 4, 5)] and guest.cpu.exits.by_reason() == {"HLT": 1}


def test_memory_that_was_taken_away_reads_as_ones():
    guest = CodeGuest()
    guest.write(ROUTINE, b"\x11\x22\x33\x44")
    guest.guest.take_ram(ROUTINE, 0x1000)
    guest.run(Code().load(ROUTINE, 4, to=DATA + 0x100).hlt())
    assert guest.word(size=4) == 0xFFFF_FFFF and guest.cpu.exits.by_reason()["EPT_VIOLATION"] == 1


def test_what_is_left_of_a_hole_is_where_it_was():
    """Unicorn cuts a hole without telling where its rest begins."""
    guest = CodeGuest()
    guest.guest.take_ram(ROUTINE, 0x4000)
    guest.guest.give_ram(ROUTINE + 0x1000, 0x1000)
    guest.cpu.keep_trace()
    guest.run(Code().store(ROUTINE + 0x1010, 7, 4).load(ROUTINE + 0x1010, 4, to=DATA + 0x100).store(ROUTINE + 0x10, 7, 4)
              .store(ROUTINE + 0x2020, 7, 4).hlt())
    assert guest.word(size=4) == 7 and guest.guest.memory.read(ROUTINE + 0x1010, 1) == b"\x07"
    assert [exit.address for exit in guest.cpu.trace if exit.reason.name == "EPT_VIOLATION"] == [ROUTINE + 0x10, ROUTINE + 0x2020]


def test_memory_that_is_added_is_there_and_the_hole_behind_it_is_where_it_was():
    guest = CodeGuest()
    at, devices = 16 << 20, 0xFE00_0000
    guest.guest.grow(at, 2 << 20)
    guest.cpu.keep_trace()
    guest.run(Code().store(at + 0x123450, 9, 4).load(at + 0x123450, 4, to=DATA + 0x100).store(at + (2 << 20) + 8, 1, 4).store(devices + 4, 1, 4)
              .store(at - 16, 1, 4).hlt())
    assert guest.word(size=4) == 9 and guest.guest.memory.read(at + 0x123450, 1) == b"\x09"
    assert [exit.address for exit in guest.cpu.trace if exit.reason.name == "EPT_VIOLATION"] == [at + (2 << 20) + 8, devices + 4, at - 16]


def test_the_processor_does_not_notice_that_memory_comes_and_goes():
    """Unicorn looks up the addresses of what it forgets in the guest's own tables: a page fault there would be the guest's."""
    import unicorn.x86_const as x
    guest = CodeGuest()
    guest.run(Code().hlt())
    engine = guest.cpu.engine
    empty = 0x30_0000
    engine.reg_write(x.UC_X86_REG_CR2, 0x1234)
    engine.reg_write(x.UC_X86_REG_CR3, empty)
    guest.guest.take_ram(0x40_0000, 0x20_0000)
    guest.guest.give_ram(0x40_0000, 0x20_0000)
    assert (engine.reg_read(x.UC_X86_REG_CR2), engine.reg_read(x.UC_X86_REG_CR3)) == (0x1234, empty)


def test_a_page_that_came_back_is_another_one():
    """What was looked up before leads to it no more: the frame is somebody else's.  Global pages outlast a write to CR3."""
    guest = CodeGuest()
    guest.write(TABLES, longmode.identity_map(TABLES, longmode.PRESENT | longmode.WRITABLE | longmode.USER | 1 << 8))
    be_global = raw("0f20e0 480d80000000 0f22e0")        # MOV RAX, CR4; OR RAX, PGE; MOV CR4, RAX

    class Swap:
        def read(self, offset, size):
            return 0

        def write(self, offset, size, value):
            spa = guest.guest.ram_spa(ROUTINE)
            guest.guest.take_ram(ROUTINE, 0x1000)
            while guest.guest.host.memory.allocate(1) != spa:
                pass
            guest.guest.give_ram(ROUTINE, 0x1000)
            guest.old = spa
    guest.guest.io.attach(0x600, 1, Swap(), "swap")
    guest.run(be_global + bytes(Code().store(ROUTINE, 5, 4).out(0x600, 0).load(ROUTINE, 4, to=DATA + 0x100).store(ROUTINE, 6, 4).hlt()))
    assert guest.word(size=4) == 0 and guest.guest.memory.read(ROUTINE, 1) == b"\x06"
    assert guest.guest.host.memory.read(guest.old, 4) == bytes(4)


def test_memory_that_belongs_to_the_processor_is_out_of_reach():
    assert ram.HIDDEN >= 1 << 40 and ram.TABLES + ram.TABLES_BYTES <= 1 << 40


def test_another_layout_is_refused(monkeypatch):
    monkeypatch.setattr(layout, "OLD_EXCEPTION", layout.OLD_EXCEPTION + 4)
    with pytest.raises(ValueError, match="keeps exceptions elsewhere than 2.1.4 does"):
        CodeGuest()


def test_another_version_is_refused_and_none_is_said(monkeypatch):
    monkeypatch.setattr(package.metadata, "version", lambda name: "2.0.1")
    assert package.missing() == ("machine code needs Unicorn 2.1.4, whose state it knows; 2.0.1 is installed: "
                                 "pip install unicorn==2.1.4")

    def nothing(name):
        raise package.metadata.PackageNotFoundError(name)
    monkeypatch.setattr(package.metadata, "version", nothing)
    with pytest.raises(ValueError, match="^machine code needs Unicorn, a processor in software: pip install unicorn==2.1.4$"):
        CodeGuest()
    monkeypatch.setattr(package.metadata, "version", lambda name: "2.1.4")
    monkeypatch.setitem(sys.modules, "unicorn", None)
    assert "can't be loaded here" in package.missing()


def test_one_vcpu():
    from vmio.modes import Machine
    from vmio.processors.unicorn.vcpu import MachineCodeCpu
    machine = Machine()
    machine.guest("two", vcpus=2, ram_mib=8, processor=MachineCodeCpu)
    with pytest.raises(ValueError, match="guest two: vcpus 2 or more; a guest of machine code has one"):
        machine.power_on()
