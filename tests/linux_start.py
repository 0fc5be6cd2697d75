"""Boots that share their first half: the kernel's unpacking of itself, which is half of a boot's processor time, and makes 102 exits.

    unpacked = Unpacked(boot)       a boot that is about to run; it notes its exits and, at the kernel proper's first CPUID, what has changed
    boot.run()
    unpacked.carry_over(other)      another one with the same command line, about to run: it will make the same exits, and have them
                                    counted by its own machine, which must answer alike; then its RAM and registers are those that were noted

So what is left out of the second boot is the translator's computing between these exits, and nothing that is counted.
"""

import numpy as np

from vmio.hypervisor.exits import ExitReason
from vmio.machine.probes import watch
from vmio.processors.unicorn import checkpoint

MIB = 1 << 20
KERNEL = range(0x100_0000, 0x110_0000)          # where Debian's begins; until then it runs elsewhere


def noted(exit):
    """All of an exit that must be the same."""
    return exit.reason, exit.address, exit.size, exit.write, exit.value, exit.time, exit.device, exit.cost


def ram(boot):
    """A copy of its RAM."""
    guest = boot.guest.guest
    return np.frombuffer(guest.memory.read(0, guest.ram), np.uint8)


class Unpacked:
    """What `boot` has done until its kernel is unpacked; `ready` from then on."""

    def __init__(self, boot):
        import unicorn.x86_const as x
        self.exits, self.ready = [], False
        self._boot, self._before, self._rip = boot, ram(boot), lambda: boot.cpu.engine.reg_read(x.UC_X86_REG_RIP)
        self._ends = [watch(boot.cpu.table, "exited", self._exited), watch(boot.cpu, "paused", self._paused)]

    def _exited(self, exit):
        if self.ready or self.exits and self.exits[-1] is None:
            return
        self.exits.append(noted(exit))
        if exit.reason is ExitReason.CPUID and self._rip() in KERNEL and len(self.exits) > 3:
            self._boot.cpu.pause()
            self.exits.append(None)                 # behind this instruction

    def _paused(self):
        if self.ready:
            return
        after = ram(self._boot)
        self.exits.pop()
        self._changed = np.flatnonzero((after.reshape(-1, 4096) != self._before.reshape(-1, 4096)).any(axis=1))
        pages = self._changed[:, None] * 4096 + np.arange(4096)
        self._before, self._after = self._before[pages], after[pages]
        self._registers = checkpoint.save(self._boot.cpu)
        self.ready = True
        for end in self._ends:
            end()

    def carry_over(self, boot):
        """Let `boot`, which is about to run, begin behind the unpacking."""
        cpu, go_on = boot.cpu, boot.cpu.run

        def run(program=None):
            made = []
            end = watch(cpu.table, "exited", lambda exit: made.append(noted(exit)))
            for reason, address, size, write, value, *_ in self.exits:
                if reason is ExitReason.CPUID:
                    cpu.cpuid(value)
                elif write:
                    {1: cpu.outb, 2: cpu.outw, 4: cpu.outl}[size](address, value)
                else:
                    {1: cpu.inb, 2: cpu.inw, 4: cpu.inl}[size](address)
                if cpu.env.peek() <= cpu.now:
                    yield from cpu.pay()
            end()
            assert made == self.exits, "its machine answers otherwise"
            self._write(boot)
            checkpoint.restore(cpu, self._registers)
            return (yield from go_on(program))
        cpu.run = run

    def _write(self, boot):
        """Its RAM: what the unpacking has changed, which must have been the same before."""
        memory = boot.guest.guest.memory
        for page, before, after in zip(self._changed, self._before, self._after):
            here = np.frombuffer(memory.read(int(page) * 4096, 4096), np.uint8).copy()
            different = before != after
            assert (here[different] == before[different]).all(), f"page {page:#x} was another one before"
            here[different] = after[different]
            memory.write(int(page) * 4096, here.tobytes())
