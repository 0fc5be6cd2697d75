"""Small programs as data, run in both worlds: on the model's vCPU and on a real one.

A program is a list of tuples named after the vCPU's methods, such as ("outb", 0x80),
("insw", 0x1F0, 256) or ("store", DOORBELL).  `on_model` counts every exit that the
processor makes.  `on_kvm` counts those that reach user space; `expected` says by rule
which ones these are.  Whole drivers are the business of record.py and replay.py.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

from vmio.hypervisor.exits import Exit, ExitReason
from vmio.machine.bus import all_ones
from vmio.machine.pagetable import READ
from vmio.modes import one_guest
from vmio.processors.kvm.code import Code
from vmio.processors.kvm.expect import groups

PORT, BELL_PORT = 0x80, 0x84
RAM, RAM_BYTES = 0x100000, 0x200000              # a buffer in RAM, and where RAM ends
ROM = RAM_BYTES                                  # one page that may only be read
BAR, NOWHERE = 0xE000_0000, 0xFEB0_0000          # a page of mapped registers; a page without memory,
DOORBELL, RING = 0xFEB0_1000, 0xFEB0_2000        # ... one with an ioeventfd, one whose writes are coalesced
RING_WRITES = 169                                # what KVM's ring holds: (4,096 - 8) // 24 entries, one stays empty
_IN, _OUT = {"inb": 1, "inw": 2, "inl": 4}, {"outb": 1, "outw": 2, "outl": 4}
_INS, _OUTS = {"insb": 1, "insw": 2, "insl": 4}, {"outsb": 1, "outsw": 2, "outsl": 4}
_VALUE = 1

# A way to reach a device -> the program that does it n times.
KINDS: dict[str, Callable[[int], list[tuple]]] = {
    "OUT": lambda n: [("outb", PORT)] * n,
    "IN": lambda n: [("inb", PORT)] * n,
    "REP OUTSB": lambda n: [("outsb", PORT, n)],
    "REP INSB": lambda n: [("insb", PORT, n)],
    "MMIO write": lambda n: [("store", NOWHERE)] * n,
    "MMIO read": lambda n: [("load", NOWHERE)] * n,
    "write to RAM": lambda n: [("store", RAM)] * n,
    "write to a mapped BAR": lambda n: [("store", BAR)] * n,
    "write to a read-only slot": lambda n: [("store", ROM)] * n,
    "read of a read-only slot": lambda n: [("load", ROM)] * n,
    "doorbell (ioeventfd), port": lambda n: [("outb", BELL_PORT)] * n,
    "doorbell (ioeventfd), memory": lambda n: [("store", DOORBELL)] * n,
    "coalesced write": lambda n: [("store", RING)] * n,
    "CPUID": lambda n: [("cpuid",)] * n,
}
# Why user space sees other exits than the processor makes.
WHY = {
    "REP OUTSB": "KVM reports string output unit by unit",
    "REP INSB": "KVM reads ahead, 1,024 bytes per exit",
    "doorbell (ioeventfd), port": "the kernel counts a ring",
    "doorbell (ioeventfd), memory": "the kernel counts a ring",
    "coalesced write": f"the kernel keeps {RING_WRITES} writes",
    "CPUID": "the kernel answers",
}


class Seen(NamedTuple):
    """Exits that reached user space, as (reason, address, size, write, count); doorbell rings; ns of wall-clock time."""

    exits: list
    rings: int
    ns: int = 0


class Modelled(NamedTuple):
    """All exits that the model's processor made; ns of virtual time."""

    exits: int
    ns: int


def expected(program: Sequence[tuple]) -> Seen:
    """Return what user space should see of `program`, by rule: a `Seen`."""
    exits, rings, waiting = [], 0, 0
    for name, *operands in program:
        if (name, *operands) in (("outb", BELL_PORT), ("store", DOORBELL)):
            rings += 1
        elif (name, *operands) == ("store", RING) and waiting < RING_WRITES:
            waiting += 1
        else:
            exits += _exits(name, *operands)
            waiting = 0 if (name, *operands) == ("store", RING) else waiting     # who answers it empties the ring
    return Seen(exits, rings)


def _exits(name: str, address: int | None = None, count: int = 1) -> list[tuple[ExitReason, int | None, int, bool, int]]:
    io = ExitReason.IO_INSTRUCTION
    if name in _IN or name in _OUT:
        return [(io, address, {**_IN, **_OUT}[name], name in _OUT, 1)]
    if name in _OUTS:
        return [(io, address, _OUTS[name], True, 1)] * count
    if name in _INS:
        return [(io, address, _INS[name], False, n) for n in groups(RAM, _INS[name], count)]
    if name in ("load", "store") and address is not None and not _is_mapped(address, name == "store"):
        return [(ExitReason.EPT_VIOLATION, address, 4, name == "store", 1)]
    return []


def _is_mapped(address: int, write: bool) -> bool:
    return address + 4 <= RAM_BYTES or BAR <= address <= BAR + 4092 or ROM <= address <= ROM + 4092 and not write


def compiled(program: Sequence[tuple]) -> Code:
    """Return `program` as machine code; ValueError for an instruction that it can't have."""
    code = Code()
    for name, *operands in program:
        if name in _OUT:
            code.out(operands[0], _VALUE, _OUT[name])
        elif name in _IN:
            code.in_(operands[0], _IN[name])
        elif name in _OUTS:
            code.rep_outs(operands[0], RAM, operands[1], _OUTS[name])
        elif name in _INS:
            code.rep_ins(operands[0], RAM, operands[1], _INS[name])
        elif name == "store":
            code.store(operands[0], _VALUE)
        elif name == "load":
            code.load(operands[0])
        elif name == "cpuid":
            code.cpuid()
        else:
            raise ValueError(f"instruction {name!r}: one of {', '.join([*_OUT, *_IN, *_OUTS, *_INS])}, load, store, cpuid")
    return code


class Rig:
    """A real guest with all that the KINDS need: `with Rig() as rig`.  OSError where KVM can't be used."""

    def __init__(self) -> None:
        from vmio.processors.kvm.fast import Coalesced, Doorbell  # not at the top: rules and model work on any host
        from vmio.processors.kvm.guest import Guest
        self.guest = Guest()
        try:
            vm = self.guest.vm
            vm.add_slot(BAR, 4096)
            vm.add_slot(ROM, 4096, readonly=True)
            self.bells = Doorbell(vm, DOORBELL), Doorbell(vm, BELL_PORT, 1, port=True)
            self.ring = Coalesced(self.guest.vcpu, vm)
            self.ring.add(RING, 4)
        except BaseException:
            self.guest.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.guest.close()

    def run(self, code: Code, seconds: float = 30) -> Seen:
        """Run a `Code`: a `Seen`.  RuntimeError if it doesn't finish."""
        self.rings()
        run = self.guest.run(code, self._answer, seconds)
        self.ring.drain()
        if run.end != "done":
            raise RuntimeError(f"the program didn't finish: {run}")
        return Seen([(exit.reason, exit.address, exit.size, exit.write, exit.count) for exit in run.exits[:-1]],
                    self.rings(), run.ns)

    def rings(self) -> int:
        """Return how often both doorbells have rung since the last call."""
        return sum(bell.rings() for bell in self.bells)

    def _answer(self, exit: Exit) -> None:
        if exit.address == RING:
            self.ring.drain()


def on_kvm(program: Sequence[tuple]) -> Seen:
    """Run it on a real processor: a `Seen`."""
    with Rig() as rig:
        return rig.run(compiled(program))


class _Nobody:
    """A device in a process of the host that does nothing: what is left is the price of the way to it and back."""

    def read(self, offset: int, size: int) -> int:
        return all_ones(size)

    def write(self, offset: int, size: int, value: int) -> None:
        pass


def on_model(program: Sequence[tuple], costs: str = "server-2022") -> Modelled:
    """Run it on the model: `Modelled`."""
    guest = one_guest(ram_mib=4, costs=costs).guest
    guest.slat.unmap(ROM, 4096)
    guest.slat.map(ROM, guest.ram_spa(ROM), 4096, READ)
    guest.io.attach(PORT, 4, _Nobody())
    guest.io.attach(BELL_PORT, 1, _Nobody(), handler="hypervisor")
    guest.mmio.attach(ROM, 4096, _Nobody())
    guest.mmio.attach(NOWHERE, 4096, _Nobody())
    guest.mmio.attach(DOORBELL, 2 * 4096, _Nobody(), handler="hypervisor")     # and the ring
    guest.direct.attach(BAR, 4096, _Nobody())
    cpu, start = guest.cpu, guest.cpu.now
    for name, *operands in program:
        if name in _INS or name in _OUTS:
            getattr(cpu, name)(operands[0], RAM, operands[1])
        elif name in _OUT:
            getattr(cpu, name)(operands[0], _VALUE)
        elif name == "store":
            cpu.store(operands[0], 4, _VALUE)
        elif name == "load":
            cpu.load(operands[0], 4)
        elif name == "cpuid":
            cpu.cpuid(0)
        else:
            getattr(cpu, name)(*operands)
    return Modelled(cpu.exits.total, cpu.now - start)
