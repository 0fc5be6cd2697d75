"""The host (Hyper-V: root partition and hypervisor): memory, time, prices, and its guests."""

import simpy

from vmio.hypervisor.apic import APICS, VIRTUALIZED
from vmio.hypervisor.cores import Cores
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.faults import GuestTimeout
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.runs import Run
from vmio.machine.memory import HostMemory

__all__ = ["GuestTimeout", "Host"]


class Host:
    """A physical machine with `memory_mib` MiB and `cores` that runs guests under a `CostModel`.

    vCPUs and the host's workers share the cores: with one they take turns, with
    more they overlap.  Cores may come and go while they run.

    `apic` says who does the work of the guests' local APICs: with "virtualized" the processor
    (Intel's APICv, AMD's AVIC; servers since about 2013), with "emulated" the hypervisor.
    """

    def __init__(self, memory_mib=64, costs=None, cores=2, apic=VIRTUALIZED):
        _check_cores(cores)
        if apic not in APICS:
            raise ValueError(f"host: apic {apic!r}; choose one of {', '.join(APICS)}")
        if not 1 <= memory_mib <= 1 << 20:
            raise ValueError(f"host: memory_mib {memory_mib}; 1 to {1 << 20} MiB")
        self.env = simpy.Environment()
        self.costs, self.apic = costs or CostModel.preset(), apic
        self.memory = HostMemory(memory_mib << 20)
        self.guests = []
        self.cores = Cores(self.env, cores, self.costs.slice_ns)
        self.busy_ns = 0   # core time used by workers
        self._run = None

    def set_cores(self, cores):
        """So many cores from now on, whatever runs on them; ValueError unless 1 to 256.  See `Cores.resize`."""
        _check_cores(cores)
        self.cores.resize(cores)

    def work(self, ns):
        """Spend `ns` on one of the cores, after waiting for it: `yield from host.work(ns)` in a worker."""
        yield from self.cores.spend(ns)
        self.busy_ns += ns

    def at(self, when, call):
        """Call `call(event)` at `when` ns, or now if that is past (a vCPU's own time may be ahead of everybody's)."""
        self.env.timeout(max(0, when - self.env.now)).callbacks.append(call)

    def guest(self, name=None, ram_mib=16, vcpus=1):
        """A new guest; its name defaults to guest0, guest1, ..."""
        guest = Guest(self, name or f"guest{len(self.guests)}", ram_mib, vcpus)
        self.guests.append(guest)
        return guest

    def run(self, *programs, limit_ns=None):
        """Run guest programs, (vCPU, generator function or generator) pairs, to their end; returns their results.

        A program that is a plain function runs too (it just never waits).
        A guest whose program raises an error is ended, the others go on; then the error
        leaves with its own type, its attribute `guest` the guest's name, and the errors
        of further guests in its notes.  `GuestTimeout` is for who needs more than `limit_ns`
        of virtual time, `GuestFault` for who waits for an interrupt that nothing will raise.
        ValueError for what can't be run, RuntimeError inside another run.
        """
        if self._run is not None:
            raise RuntimeError("host.run: programs are running; one run at a time")
        self._run = Run(self.env, programs, limit_ns)
        try:
            return self._run.to_the_end()
        finally:
            self._run = None

    def fault(self, guest, error):
        """`guest` has failed: its programs end, the others go on, and `run` raises `error` when all have ended.

        Raises it at once if there is no run.
        """
        if self._run is None:
            raise error
        self._run.fault(guest, error)

    def process(self, guest, steps):
        """A worker, a generator, that works for `guest`: its error is that guest's fault.  Returns its event."""
        return self.env.process(self._blamed(guest, steps))

    def _blamed(self, guest, steps):
        try:
            return (yield from steps)
        except Exception as error:  # noqa: BLE001  whatever a guest brought about ends that guest alone
            self.fault(guest, error)


def _check_cores(cores):
    if not 1 <= cores <= 256:
        raise ValueError(f"host: cores {cores}; 1 to 256")
