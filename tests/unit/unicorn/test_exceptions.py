"""Exceptions and interrupts arrive through the guest's own IDT, on the stack that its TSS names."""

import struct

import pytest

from tests.machine_code import CODE, DATA, HLT, IST1, RING3_CODE, RING3_DATA, RSP0, STACK, TABLES, CodeGuest
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.processors.kvm.code import Code

UNMAPPED = 0x7F_0000_0000
SEEN = DATA + 0x200        # where handlers leave RSP


def raw(text):
    return bytes.fromhex(text.replace(" ", ""))


def absolute(opcode, at):
    """MOV [at], RSP or another with a 32-bit absolute address."""
    return raw(opcode) + struct.pack("<I", at)


KEEP_RSP = absolute("48892425", SEEN)
READ_UNMAPPED = raw("48b8 000000007f000000 488b00")          # MOV RAX, UNMAPPED; MOV RAX, [RAX]


def frame(guest, code=True):
    """(error code, RIP, CS, RFLAGS, RSP, SS) that a handler has found on its stack."""
    at = guest.word(SEEN)
    words = struct.unpack("<6Q", guest.guest.memory.read(at, 48))
    return words if code else (None, *words[:5])


def test_a_page_fault_has_its_frame_error_code_and_address():
    guest = CodeGuest()
    guest.handler(14, KEEP_RSP + raw("0f20d0 48a3") + struct.pack("<Q", DATA + 0x100) + HLT)         # MOV RAX, CR2
    why = guest.run(READ_UNMAPPED)
    error, rip, cs, flags, rsp, ss = frame(guest)
    assert "interrupts off" in why and guest.word() == UNMAPPED
    assert (error, rip, cs, rsp, ss) == (0, guest.begins + 10, 0x10, STACK, 0x18) and flags & 0x202 == 2
    assert guest.word(SEEN) == STACK - 48


def test_an_interrupt_stack_of_its_own():
    guest = CodeGuest()
    guest.handler(14, KEEP_RSP + HLT, ist=1)
    guest.run(READ_UNMAPPED)
    assert guest.word(SEEN) == IST1 - 48 and frame(guest)[4] == STACK


def test_what_a_handler_returns_to_goes_on():
    guest = CodeGuest()
    guest.handler(6, raw("48830424 02 48cf"))               # ADD QWORD [RSP], 2; IRETQ
    guest.run(raw("0f0b 0f0b") + bytes(Code().out(0x80, 1)) + HLT)
    assert guest.cpu.delivery.delivered == {6: 2} and guest.cpu.exits.by_instruction()["OUT"] == 1


@pytest.mark.parametrize("gate_kind, vector", [(0xEE, 0x40), (0x8E, 13)])
def test_ring_3_calls_what_it_may(gate_kind, vector):
    guest = CodeGuest()
    guest.handler(0x40, KEEP_RSP + HLT, kind=gate_kind)
    guest.handler(13, KEEP_RSP + HLT)
    user = DATA + 0x800
    guest.write(user, raw("cd40"))
    guest.run(raw("6a") + bytes([RING3_DATA]) + b"\x68" + struct.pack("<I", STACK - 0x100) + raw("6a02 6a") + bytes([RING3_CODE])
              + b"\x68" + struct.pack("<I", user) + raw("48cf"))             # IRETQ to ring 3, where INT 40h is
    assert guest.cpu.delivery.delivered == {vector: 1}
    error, rip, cs, _, rsp, ss = frame(guest, code=vector == 13)
    assert (cs, rsp, ss) == (RING3_CODE, STACK - 0x100, RING3_DATA) and guest.word(SEEN) == RSP0 - (48 if error is not None else 40)
    assert (error, rip) == ((0x40 * 8 + 2, user) if vector == 13 else (None, user + 2))


def test_a_fault_on_the_way_is_a_double_fault_and_then_the_end():
    guest = CodeGuest()
    guest.handler(8, KEEP_RSP + HLT, ist=1)
    guest.run(raw("48bc 00000000 7f000000") + READ_UNMAPPED)            # RSP leads nowhere: the frame can't be pushed
    assert guest.cpu.delivery.delivered == {8: 1} and frame(guest)[0] == 0
    lost = CodeGuest()
    why = lost.run(raw("48bc 00000000 7f000000") + READ_UNMAPPED)
    assert why == (f"vector 14 at RIP {lost.begins + 20:#x}, error code 0x0, CR2 {UNMAPPED:#x}: the guest's tables lead to no handler, "
                   "nor to one for the double fault")


def test_syscall_and_back():
    guest = CodeGuest()
    entry = DATA + 0x900
    guest.write(entry, absolute("48890c25", DATA + 0x100) + absolute("4c891c25", DATA + 0x108) + HLT)     # RCX and R11
    msr = raw("b9 820000c0 b8") + struct.pack("<I", entry) + raw("31d2 0f30  b9 840000c0 b8 00020000 31d2 0f30"
                                                                 "b9 810000c0 31c0 ba 10002000 0f30")
    guest.run(msr + raw("f9 0f05"))                         # STC; SYSCALL
    after = guest.begins + len(msr) + 3
    assert guest.word() == after and guest.word(DATA + 0x108) & 0x203 == 3


def test_an_unknown_msr_is_a_general_protection_fault():
    guest = CodeGuest()
    guest.handler(13, KEEP_RSP + HLT)
    guest.run(raw("b9 ff0f0040 0f32"))
    assert frame(guest)[:2] == (0, guest.begins + 5) and guest.cpu.exits.by_reason()["RDMSR"] == 1


@pytest.mark.parametrize("code", ["b9 5c000000 0f01c1", "0f01d8", "0f01dc"])    # VMCALL before it is enabled, VMRUN, STGI
def test_no_way_out_of_the_guest(code):
    guest = CodeGuest()
    enable_enlightenments(guest.guest)
    guest.handler(6, HLT)
    guest.run(raw("b9 800000c0 0f32 0d 00100000 0f30") + raw(code))           # EFER.SVME
    assert guest.cpu.delivery.delivered == {6: 1}


def test_page_tables_without_a_handler_end_it():
    guest = CodeGuest()
    guest.write(TABLES, bytes(8))                           # read again only after a flush: MOV CR3
    why = guest.run(raw("0f20d8 0f22d8"))
    assert "no handler" in why and f"{CODE:#x}"[:4] in why
