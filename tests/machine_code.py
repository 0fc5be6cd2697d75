"""Small guests of hand-made machine code, and the same accesses by a generator beside them."""

import struct

from vmio.firmware import longmode
from vmio.modes import Machine, attachment

CODE, HANDLERS, IDT, TSS, TABLES, GDT, DATA = 0x100000, 0x110000, 0x120000, 0x121000, 0x130000, 0x140000, 0x150000
STACK, IST1, RSP0 = 0x160000, 0x170000, 0x180000
HLT, CLI, STI = b"\xf4", b"\xfa", b"\xfb"
RING3_CODE, RING3_DATA = 0x2B, 0x23


def gate(handler, ist=0, kind=0x8E):
    """An IDT entry; `kind` 8Eh is an interrupt gate of ring 0, 8Fh a trap gate, EEh one that ring 3 may call."""
    return struct.pack("<HHBBHII", handler & 0xFFFF, 0x10, ist, kind, handler >> 16 & 0xFFFF, handler >> 32, 0)


class CodeGuest:
    """A guest of machine code with a PC's board, 8 MiB, identity page tables, an IDT, a TSS and both rings' descriptors."""

    def __init__(self, **machine):
        from vmio.processors.unicorn.vcpu import MachineCodeCpu
        self.machine = Machine(**machine)
        self.planned = self.machine.guest("code", attachment("serial", "emulated"), ram_mib=8, processor=MachineCodeCpu)
        self.machine.power_on()
        self.guest, self.cpu, self.board = self.planned.guest, self.planned.cpu, self.planned.board
        self.cpu.power_on()
        self.write = self.guest.memory.write
        self.write(TABLES, longmode.identity_map(TABLES, longmode.PRESENT | longmode.WRITABLE | longmode.USER))
        data = longmode.DESCRIPTOR.pack(type=3, big=1, dpl=3, present=1, s=1, pages=1, limit=0xFFFF, limit_high=15)
        code = longmode.DESCRIPTOR.pack(type=11, long=1, dpl=3, present=1, s=1, pages=1, limit=0xFFFF, limit_high=15)
        task = struct.pack("<QQ", 0x67 | (TSS & 0xFFFFFF) << 16 | 0x89 << 40 | TSS >> 24 << 56, TSS >> 32)
        self.write(GDT, longmode.flat_descriptors() + data + code + task)
        self.write(TSS + 4, struct.pack("<Q", RSP0))
        self.write(TSS + 36, struct.pack("<Q", IST1))

    def handler(self, vector, code, **gate_options):
        """Put a handler's code, and its gate into the IDT."""
        at = HANDLERS + 0x100 * vector
        self.write(at, code)
        self.write(IDT + 16 * vector, gate(at, **gate_options))

    def start(self, code):
        """Load `code` behind one that loads IDTR and TR, and be ready for `run`."""
        from vmio.processors.unicorn.start import enter
        self.write(DATA, struct.pack("<HQ", 0xFFF, IDT))
        prologue = bytes.fromhex("0f011c25") + struct.pack("<I", DATA) + bytes.fromhex("66b83000 0f00d8")      # LIDT, LTR 30h
        self.write(CODE, prologue + bytes(code))
        self.begins = CODE + len(prologue)
        enter(self.cpu, CODE, 0, STACK, TABLES, GDT, 0x3F, 0x10, 0x18)

    def run(self, code, **limits):
        """Run `code` (HLT with interrupts off ends it) and return the sentence why it ended."""
        self.start(code)
        return self.machine.host.run((self.cpu, self.cpu.run), **limits)[0].text

    def word(self, address=DATA + 0x100, size=8):
        """Memory, as a number."""
        return int.from_bytes(self.guest.memory.read(address, size), "little")


def rows(cpu):
    """All that is counted, and the time that it took."""
    return sorted((row.reason.value, row.address, row.size, row.is_write, row.string, row.device, row.count, row.moved, row.extra_ns)
                  for row in cpu.exits.rows), cpu.now


def by_generator(program, **machine):
    """`rows` of a generator on the same machine."""
    guest = Machine(**machine).guest("code", attachment("serial", "emulated"), ram_mib=8)
    guest.machine.power_on()
    guest.machine.host.run((guest.cpu, program))
    return rows(guest.cpu)
