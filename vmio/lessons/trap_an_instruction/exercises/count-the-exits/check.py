from vmio import attachment, one_guest
from vmio.lab import a_number, expect, seeded

RAM = 1 << 20


def run(program):
    cpu = one_guest(attachment("serial", "emulated", sink=lambda byte: None), ram_mib=1).cpu
    for name, *operands in program:
        if name in ("insb", "outsb"):
            getattr(cpu, name)(operands[0], 0x1000, operands[1])
        elif name in ("load", "store"):
            getattr(cpu, name)(operands[0], 4, *([7] if name == "store" else []))
        elif name == "outb":
            cpu.outb(operands[0], 0x41)
        elif name == "rdmsr":
            cpu.rdmsr(0x4000_0020)
        else:
            getattr(cpu, name)(*(operands or [0]))
    return cpu.exits.total


def check(count_exits):
    random = seeded(11)
    programs = [[], [("compute", 1000)], [("outb", 0x3F8)], [("outsb", 0x3F8, 200)],
                [("load", RAM - 4), ("load", RAM)], [("store", RAM - 2), ("store", 0)]]
    kinds = [lambda: ("inb", 0x3FD), lambda: ("outb", random.choice((0x80, 0x3FF))),
             lambda: ("insb", 0x3F8, random.randrange(1, 300)), lambda: ("outsb", 0x3F8, random.randrange(1, 300)),
             lambda: ("load", random.choice((0, 0x9000, RAM - 4, RAM, 0xFEC0_0000))),
             lambda: ("store", random.choice((0x2000, RAM - 8, RAM + 4096))),
             lambda: ("cpuid",), lambda: ("rdmsr",), lambda: ("hypercall",), lambda: ("compute", 50)]
    programs += [[random.choice(kinds)() for _ in range(random.randrange(5, 30))] for _ in range(12)]
    for program in programs:
        expect(a_number(count_exits(list(program), RAM), given=program), run(program), given=program)
    return f"{len(programs)} programs, {sum(map(len, programs))} instructions."
