"""The host (Hyper-V: root partition and hypervisor): memory, time, prices, and its guests."""

from collections.abc import Callable
from typing import SupportsIndex

from simpy.events import Event, Process

from vmio.hypervisor.apic import APICS, VIRTUALIZED
from vmio.hypervisor.contracts import Partition, Steps
from vmio.hypervisor.cores import Cores
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.faults import GuestTimeout
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.kinds import kind_of_host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.runs import Run, Runnable
from vmio.hypervisor.simulation import Simulation
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.memory import HostMemory

__all__ = ["GuestTimeout", "Host"]

HOST = Form("host", 1, "costs", "properties", "memory", "cores")


class Host:
    """A physical machine with `memory_mib` MiB and `cores` that runs guests under a `CostModel`.

    vCPUs and the host's workers share the cores: with one they take turns, with
    more they overlap.  Cores may come and go while they run.

    `apic` says who does the work of the guests' local APICs: with "virtualized" the processor
    (Intel's APICv, AMD's AVIC; servers since about 2013), with "emulated" the hypervisor.
    `kind` names what is modelled (`kinds.KINDS`); `backing` and `tick_hz` are its own unless they are said.
    """

    def __init__(self, memory_mib: int = 64, costs: CostModel | None = None, cores: int = 2, apic: str = VIRTUALIZED,
                 kind: str = "hyper-v", backing: str | None = None, tick_hz: int | None = None) -> None:
        _check_cores(cores)
        if apic not in APICS:
            raise ValueError(f"host: apic {apic!r}; choose one of {', '.join(APICS)}")
        if not 1 <= memory_mib <= 1 << 20:
            raise ValueError(f"host: memory_mib {memory_mib}; 1 to {1 << 20} MiB")
        self.env = Simulation()
        self.backing, self.tick_hz = kind_of_host(kind, backing, tick_hz)
        self.tick_ns = 1_000_000_000 // self.tick_hz if self.tick_hz else 0
        self.costs, self.apic = costs or CostModel.preset(), apic
        self.memory = HostMemory(memory_mib << 20)
        self.guests: list[Guest] = []
        self.cores = Cores(self.env, cores, self.costs.slice_ns)
        self._run: Run | None = None

    def set_cores(self, cores: int) -> None:
        """Have so many cores from now on, whatever runs on them; ValueError unless 1 to 256.  See `Cores.resize`."""
        _check_cores(cores)
        self.cores.resize(cores)

    @property
    def busy_ns(self) -> int:
        """Core time that the host's workers have used, in ns."""
        return self.cores.busy_ns

    def at(self, when: int, call: Callable[[Event], None]) -> None:
        """Call `call(event)` at `when` ns, or now if that is past (a vCPU's own time may be ahead of everybody's)."""
        self.env.timeout(max(0, when - self.env.now)).callbacks.append(call)

    def guest(self, name: str | None = None, ram_mib: int = 16, vcpus: int = 1, processor: type[VCpu] = VCpu) -> Guest:
        """Make a new guest; its name defaults to guest0, guest1, ..."""
        guest = Guest(self, name or f"guest{len(self.guests)}", ram_mib, vcpus, processor)
        self.guests.append(guest)
        return guest

    def start(self, *programs: Runnable, limit_ns: SupportsIndex | None = None) -> Run:
        """Begin what `run` does; returns the `Run`, which goes on step by step or `to_the_end`."""
        if self._run is not None:
            raise RuntimeError("host.run: programs are running; one run at a time")
        self._run = Run(self.env, programs, limit_ns, self._ended)
        return self._run

    def _ended(self) -> None:
        self._run = None

    def run(self, *programs: Runnable, limit_ns: SupportsIndex | None = None) -> list:
        """Run guest programs, (vCPU, generator function or generator) pairs, to their end; returns their results.

        A program that is a plain function runs too (it just never waits).
        A guest whose program raises an error is ended, the others go on; then the error
        leaves with its own type, its attribute `guest` the guest's name, and the errors
        of further guests in its notes.  `GuestTimeout` is for who needs more than `limit_ns`
        of virtual time, `GuestFault` for who waits for an interrupt that nothing will raise.
        ValueError for what can't be run, RuntimeError inside another run.
        """
        return self.start(*programs, limit_ns=limit_ns).to_the_end()

    def fault(self, guest: Partition, error: Exception) -> None:
        """`guest` has failed: its programs end, the others go on, and `run` raises `error` when all have ended.

        Raises it at once if there is no run.
        """
        if self._run is None:
            raise error
        self._run.fault(guest, error)

    def process(self, guest: Partition, steps: Steps) -> Process:
        """Start a worker, a generator, that works for `guest`: its error is that guest's fault.  Returns its event."""
        worker = self.env.process(steps)
        worker.callbacks.append(lambda ended: self._blame(guest, ended))
        return worker

    def _blame(self, guest: Partition, ended: Process) -> None:
        """Whatever a guest brought about in its worker ends that guest alone; what is no `Exception` (Ctrl-C) ends the run."""
        if not ended.ok and isinstance(ended.value, Exception):
            ended.defused = True
            self.fault(guest, ended.value)


    def save(self, saving: Saving) -> State:
        """Return memory, cores and prices; guests and devices are saved by who has plugged them together."""
        return HOST.state(costs=vars(self.costs), properties=[self.apic, self.backing, self.tick_hz],
                          memory=self.memory.save(), cores=self.cores.save(saving))

    def restore(self, state: State, restoring: Restoring) -> None:
        """Take back what `save` gave, first of all parts; `CheckpointRefused` for other prices, or another processor."""
        saved = HOST.take(state)
        same("host, prices", saved["costs"], vars(self.costs))
        same("host, APIC, backing and tick", saved["properties"], [self.apic, self.backing, self.tick_hz])
        self.memory.restore(saved["memory"])
        self.cores.restore(saved["cores"], restoring)


def _check_cores(cores: int) -> None:
    if not 1 <= cores <= 256:
        raise ValueError(f"host: cores {cores}; 1 to 256")
