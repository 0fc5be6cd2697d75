"""The host (Hyper-V: root partition and hypervisor): memory, time, prices, and its guests."""

import simpy

from vmio.hypervisor.cores import Cores
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.vcpu import GuestFault
from vmio.machine.memory import HostMemory


class GuestTimeout(GuestFault):
    """A guest's program used more virtual time than it was given."""


class Host:
    """A physical machine with `memory_mib` MiB and `cores` that runs guests under a `CostModel`.

    vCPUs and the host's workers share the cores: with one they take turns, with
    more they overlap.  Cores may come and go while they run.
    """

    def __init__(self, memory_mib=64, costs=None, cores=2):
        _check_cores(cores)
        if not 1 <= memory_mib <= 1 << 20:
            raise ValueError(f"host: memory_mib {memory_mib}; 1 to {1 << 20} MiB")
        self.env = simpy.Environment()
        self.costs = costs or CostModel.preset()
        self.memory = HostMemory(memory_mib << 20)
        self.guests = []
        self.cores = Cores(self.env, cores, self.costs.slice_ns)
        self.busy_ns = 0   # core time used by workers

    def set_cores(self, cores):
        """So many cores from now on, whatever runs on them; ValueError unless 1 to 256.  See `Cores.resize`."""
        _check_cores(cores)
        self.cores.resize(cores)

    def work(self, ns):
        """Spend `ns` on one of the cores, after waiting for it: `yield from host.work(ns)` in a worker."""
        yield from self.cores.spend(ns)
        self.busy_ns += ns

    def guest(self, name=None, ram_mib=16, vcpus=1):
        """A new guest; its name defaults to guest0, guest1, ..."""
        guest = Guest(self, name or f"guest{len(self.guests)}", ram_mib, vcpus)
        self.guests.append(guest)
        return guest

    def run(self, *programs, limit_ns=None):
        """Run guest programs, (cpu, generator function or generator) pairs, to their end; returns their results.

        A program that is a plain function runs too (it just never waits).
        Raises `GuestTimeout` past `limit_ns` of virtual time, and `GuestFault` for a
        guest that waits for an interrupt which nothing will raise.
        """
        processes = [self.env.process(_program(cpu, program, limit_ns)) for cpu, program in programs]
        for process in processes:
            if not process.triggered:
                self._run_until(process)
            if not process.ok:
                raise process.value
        return [process.value for process in processes]

    def _run_until(self, process):
        try:
            self.env.run(until=process)
        except RuntimeError as error:
            if process.triggered or "event" not in str(error):
                raise
            raise GuestFault("a guest halted and waits for an interrupt that nothing will raise") from None


def _check_cores(cores):
    if not 1 <= cores <= 256:
        raise ValueError(f"host: cores {cores}; 1 to 256")


def _program(cpu, program, limit_ns):
    timer = None
    if limit_ns is not None:
        timer = cpu.clock.call_at(cpu.now + limit_ns, lambda: _out_of_time(cpu, limit_ns))
    steps = program(cpu) if callable(program) else program
    result = (yield from steps) if hasattr(steps, "send") else steps
    yield from cpu.pay()
    if timer is not None:
        timer.cancel()
    return result


def _out_of_time(cpu, limit_ns):
    cpu.clock.call_later(limit_ns, lambda: _out_of_time(cpu, limit_ns))  # for a guest that swallows the first
    raise GuestTimeout(f"{cpu.guest.name}: still running after {limit_ns:,} ns of virtual time")
