"""The prediction of *Trap an instruction* with numbers of a student's own."""

from vmio.lab.asked import Own
from vmio.lessons.trap_an_instruction import panel


def _exits(reads: int, stores: int, leaves: int, length: int) -> int:
    cpu = panel.machine()
    for _ in range(reads):
        cpu.inb(0x3FD)
    for at in range(stores):
        cpu.store(0x1000 + 4 * at, 4, at)
    for leaf in range(leaves):
        cpu.cpuid(leaf)
    cpu.outsb(0x3F8, 0x2000, length)
    return cpu.exits.total


OWN = {"twelve-instructions": Own(
    "inb(0x3FD) {reads} times, a store into RAM {stores} times, cpuid {leaves} times and one outsb of {length} bytes: how many VM exits "
    "do they cause?",
    {"reads": range(2, 30), "stores": range(2, 30), "leaves": range(2, 20), "length": range(20, 200)}, _exits)}
