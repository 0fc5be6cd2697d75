"""A guest that runs a short program in ring 3 of a real processor: VM, memory, vCPU and tables together."""

from collections.abc import Callable, Iterable
from typing import Self

from vmio.hypervisor.exits import Exit
from vmio.processors.kvm import irq, longmode
from vmio.processors.kvm.code import Code
from vmio.processors.kvm.vcpu import Run, Vcpu, all_ones
from vmio.processors.kvm.vm import Vm

DONE_PORT = 0xF4          # where a program says that it has finished; QEMU's debug-exit device sits there too
DATA = 0x100000           # free memory behind the program
RAM_BYTES = 2 << 20


class Guest:
    """A VM with 2 MiB of memory from address 0.  `ports` are those that its task state grants (None: all).

    With `interrupts` it has a local APIC and lets interrupts in (irq.py).
    `with Guest() as guest` gives back every file and mapping.
    """

    def __init__(self, ports: Iterable[int] | None = None, device: str | None = None, interrupts: bool = False) -> None:
        self.vm = Vm(device)
        self.interrupts = interrupts
        try:
            if interrupts:
                irq.add_controller(self.vm)      # before the vCPU, which takes its part of it
            self.ram = self.vm.add_slot(0, RAM_BYTES)
            self.vcpu = Vcpu(self.vm)
            longmode.load_tables(self.ram, ports)
        except BaseException:
            self.vm.close()
            raise

    def load(self, code: Code) -> None:
        """Put a `Code` where it starts, with the OUT that says "finished" behind it."""
        program = bytes(code) + bytes(type(code)().out(DONE_PORT, 0))
        if longmode.CODE + len(program) > DATA:
            raise ValueError(f"a program of {len(program):,} bytes: there is room for {DATA - longmode.CODE:,}")
        self.ram.write(longmode.CODE, program)

    def run(self, code: Code | None = None, answer: Callable[[Exit], int | None] = all_ones, seconds: float = 1.0) -> Run:
        """Run `code`, or what was loaded before, from its first instruction: a `Run`.

        RuntimeError if the run before was stopped within a string instruction:
        KVM would go on with that one.  Such a guest is given up.
        """
        if self.vcpu.midway:
            raise RuntimeError("this guest was stopped within a string instruction: start a new one")
        if code is not None:
            self.load(code)
        longmode.enter_user_mode(self.vcpu, interrupts=self.interrupts)
        return self.vcpu.run(answer, DONE_PORT, seconds)

    def close(self) -> None:
        """Give everything back."""
        self.vm.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
