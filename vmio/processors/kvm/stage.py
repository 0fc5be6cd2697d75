"""A real virtual machine around the RAM of a modelled guest: the pages the devices' DMA reaches are its own.

The modelled host's memory is one mmap; what the guest's SLAT table shows of it
becomes memory slots.  Nothing is copied: what the device models read and write
through their `AddressSpace` is what the processor reads and writes.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Self

from vmio.hypervisor.exits import Exit
from vmio.hypervisor.guest import Guest
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import READ, WRITE, PageTable, TranslationFault
from vmio.processors.kvm import expect, longmode
from vmio.processors.kvm.code import Code
from vmio.processors.kvm.compile import BASE, BYTES, CODE, DONE_PORT, LITERALS, LOG, Piece
from vmio.processors.kvm.fast import Doorbell
from vmio.processors.kvm.vcpu import Run, Vcpu
from vmio.processors.kvm.vm import Slot, Vm


class Stage:
    """A VM with the RAM of `guest` (a model's), and a slot of its own for program and log.

    `ports` are those that the program may use; `bells` the addresses where a store of
    4 bytes rings.  `with Stage(...) as stage` gives back every file and mapping.
    """

    def __init__(self, guest: Guest, ports: Iterable[int], bells: Iterable[int] = (), device: str | None = None) -> None:
        self.guest = guest
        self.ram: dict[tuple[int, int, int, bool], Slot] = {}     # run -> its slot
        self.vm = Vm(device)
        try:
            self.follow_table()
            self.own = self.vm.add_slot(BASE, BYTES)
            longmode.load_tables(self.own, {*ports, DONE_PORT, *range(expect.STAND_IN, expect.STAND_IN + 4)})
            self.vcpu = Vcpu(self.vm)
            self.bells = {address: Doorbell(self.vm, address) for address in bells}
        except BaseException:
            self.vm.close()
            raise

    def follow_table(self) -> None:
        """Make the slots what the guest's SLAT table says now: a hypervisor's page over RAM is a slot of its own."""
        now = set(_runs(self.guest))
        for run in self.ram.keys() - now:
            self.vm.remove_slot(self.ram.pop(run))
        for run in now - self.ram.keys():
            address, start, size, readonly = run
            self.ram[run] = self.vm.add_slot(address, size, readonly, self.guest.host.memory.bytes, start)

    def run(self, piece: Piece, answer: Callable[[Exit], int | None], seconds: float) -> Run:
        """Run a `Piece`: a `Run`."""
        self.own.write(BASE + CODE, bytes(piece.code) + bytes(Code().out(DONE_PORT, 0)))
        self.own.write(BASE + LITERALS, piece.literals)
        longmode.enter_user_mode(self.vcpu, BASE)
        return self.vcpu.run(answer, DONE_PORT, seconds)

    def log(self, at: int, size: int) -> bytes:
        """Return what the program has kept."""
        return self.own.read(BASE + LOG + at, size)

    def close(self) -> None:
        """Give everything back."""
        self.vm.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _runs(guest: Guest) -> Iterator[tuple[int, int, int, bool]]:
    """(address, SPA, bytes, is it read-only) of each run of RAM that is one piece in the host's memory as well."""
    table, run = guest.slat, None
    for address in range(0, guest.ram, PAGE):
        spa, readonly = _page(table, address)
        if run and spa is not None and (spa, readonly) == (run[1] + run[2], run[3]):
            run = run[0], run[1], run[2] + PAGE, readonly
            continue
        if run:
            yield run
        run = None if spa is None else (address, spa, PAGE, readonly)
    if run:
        yield run


def _page(table: PageTable, address: int) -> tuple[int | None, bool]:
    for access in (WRITE, READ):
        try:
            return table.translate(address, access), access == READ
        except TranslationFault:
            pass
    return None, False
