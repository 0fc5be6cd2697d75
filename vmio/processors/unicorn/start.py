"""The state in which a boot loader enters a kernel: 64-bit mode, flat segments, interrupts off, and from here on a guest.

Source: Linux Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"; Intel SDM vol. 3A, 9.8.5 (IA-32e mode).
"""

from vmio.processors.unicorn import intercepts, layout
from vmio.processors.unicorn.state import CS, DS, ES, RSI, RSP, SS
from vmio.processors.unicorn.vcpu import MachineCodeCpu

EFER, EFER_VALUE = 0xC000_0080, 0x501 | 0x800     # SYSCALL, long mode enabled and active, no-execute pages
CR0 = 0x8005_0033                                 # paging, write protection, alignment mask, x87 as in a PC, protection
CR4 = 0x620                                       # physical address extension, SSE and its exceptions
CODE64, DATA32 = 0x00AF_9B00, 0x00CF_9300         # descriptors' upper halves


def enter(cpu: MachineCodeCpu, rip: int, rsi: int, rsp: int, cr3: int, gdt: int, gdt_limit: int, code: int, data: int) -> None:
    """Let `cpu`, which is powered on, begin at `rip`; `code` and `data` are selectors in the table at `gdt`."""
    import unicorn.x86_const as x
    engine, state = cpu.engine, cpu.state
    engine.reg_write(x.UC_X86_REG_MSR, (EFER, EFER_VALUE))
    engine.reg_write(x.UC_X86_REG_CR4, CR4)
    engine.reg_write(x.UC_X86_REG_CR3, cr3)
    engine.reg_write(x.UC_X86_REG_CR0, CR0)
    state.save()
    for number in (ES, SS, DS):
        state.set_segment(number, data, 0, 0xFFFF_FFFF, DATA32)
    state.set_segment(CS, code, 0, 0xFFFF_FFFF, CODE64)
    state.set_table(layout.GDT, gdt, gdt_limit)
    state.put32(layout.HFLAGS, state.get32(layout.HFLAGS) | layout.LONG_MODE)
    state.enter_code64(0)
    state.set_register(RSI, rsi)
    state.set_register(RSP, rsp)
    state.set_flags(0)
    state.rip = rip
    intercepts.arm(engine, state, sorted(cpu.guest.msrs))
    state.restore()
