"""Several guests' programs at once: what one does wrong ends that guest and no other."""

from collections.abc import Callable, Sequence
from functools import partial
from operator import index
from traceback import format_exception_only
from typing import Any, SupportsIndex, TypeAlias

from simpy.core import EmptySchedule, Environment
from simpy.events import Event

from vmio.hypervisor.contracts import Partition, Steps
from vmio.hypervisor.faults import GuestFault
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.program import Program
from vmio.hypervisor.recording import Recording
from vmio.hypervisor.simulation import Simulation
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import CheckpointRefused, Form, State, same
from vmio.machine.clock import Timers

RUN = Form("run", 2, "steps", "at", "watched", "programs", "answers")


Runnable: TypeAlias = tuple[VCpu, Callable[..., Any] | Steps]     # a vCPU, and a function of it or a generator


class Run:
    """The (vCPU, program) pairs of one `Host.run`.  ValueError for what can't be run, before anything has.

    `steps` are the events of the simulation that have happened in it; between two, a checkpoint can be taken.
    `ended` is told when it is over.
    """

    def __init__(self, env: Simulation, pairs: Sequence[Runnable], limit_ns: SupportsIndex | None,
                 ended: Callable[[], None] = lambda: None) -> None:
        self._env = env
        self._faults: list[tuple[Partition, Exception]] = []      # the first of each guest
        self._ended, self.steps = ended, 0
        self._tick: Event | None = None
        self._at, self._watched = 0, False     # the program whose end is waited for, and whether it has been, for a step
        self._check(pairs)
        limit_ns = _limit(limit_ns)
        self._programs = [Program(cpu, program, limit_ns, lambda program, error: self.fault(program.guest, error))
                          for cpu, program in pairs]
        for program in self._programs:
            if program.cpu.recorded is not None:
                program.cpu.recorded.record.starts(self)

    def to_the_end(self) -> list:
        """Return the programs' results, when all have ended; raises the first error of a guest, if there was one."""
        step, steps = self._env.step, self.steps
        try:
            for program in self._programs[self._at:]:
                if self._watched or not program.triggered:
                    while program.callbacks is not None:
                        try:
                            steps += 1
                            step()
                        except EmptySchedule:
                            self._stuck()
                self._at, self._watched = self._at + 1, False
        except Exception as error:  # noqa: BLE001  the host's own: no guest could be blamed
            raise _original(error)  # noqa: B904  simpy's copy is what hides the cause
        finally:
            self.steps = steps
            for program in self._programs:
                program.end()
            self._ended()
        if self._faults:
            raise self._error()
        return [program.value for program in self._programs]

    def step(self, within_ns: int | None = None) -> bool:
        """Let the next event happen; False when all programs have ended, and `to_the_end` gives their results.

        A guest that is alone doesn't need the simulation while it computes and sleeps, and one step may take it far.
        With `within_ns` an event comes every so many ns, and does nothing.
        """
        if within_ns is not None and (self._tick is None or self._tick.processed):
            self._tick = self._env.timeout(within_ns)
        while self._at < len(self._programs):
            program = self._programs[self._at]
            if program.processed or program.triggered and not self._watched:
                self._at, self._watched = self._at + 1, False
                continue
            self._watched = True
            self.steps += 1
            try:
                self._env.step()
            except EmptySchedule:
                self._stuck()
            return True
        return False

    def save(self, saving: Saving) -> State:
        """Return how far the programs are; `CheckpointRefused` once a guest has failed."""
        for guest, error in self._faults:
            raise CheckpointRefused(f"checkpoint at {saving.now} ns: guest {guest.name} has failed: {error}")
        programs = [program.save(saving) for program in self._programs]
        return RUN.state(steps=self.steps, at=self._at, watched=self._watched, programs=programs,
                         answers=[record.save() for record in self._told()])

    def restore(self, state: State, restoring: Restoring) -> None:
        """Let the programs, which have not begun, be as far as those that were saved."""
        saved = RUN.take(state)
        same("run, number of programs", len(saved["programs"]), len(self._programs))
        self.steps, self._at, self._watched = saved["steps"], saved["at"], saved["watched"]
        for record, answers in zip(self._told(), saved["answers"], strict=True):
            record.restore(answers)
            restoring.last(partial(self._tell, record, restoring))
        for program, each in zip(self._programs, saved["programs"]):
            program.restore(each, restoring)

    def _told(self) -> dict[Recording, list[Program]]:
        """What is kept of the programs' answers, of each guest with its programs."""
        found: dict[Recording, list[Program]] = {}
        for program in self._programs:
            found.setdefault(program.cpu.recorded.record, []).append(program)
        return found

    def _tell(self, record: Recording, restoring: Restoring) -> None:
        """Tell programs of one guest what they were told, each in its turn, until they wait where they waited."""
        programs = {program.cpu.index: program for program in self._told()[record] if program.begun}
        while (vcpu := record.turn()) is not None:
            programs[vcpu].tell()
        for program in programs.values():
            program.go_on(restoring)

    def timers(self, guest: Partition) -> Timers:
        """Return what the programs of this guest have on its clock, as (name, `Timer` or None) pairs."""
        found: Timers = []
        for number, each in enumerate(self._programs):
            if each.guest is guest:
                found += [(f"limit of program {number}", each.limit), *each.cpu.recorded.clock.timers()]
        return found

    def fault(self, guest: Partition, error: Exception) -> None:
        """End the guest's programs; its first error is kept."""
        if all(guest is not other for other, _ in self._faults):
            self._faults.append((guest, error))
        for program in self._programs:
            if program.guest is guest:
                program.end()

    def _stuck(self) -> None:
        for program in self._programs:
            if not program.triggered:
                name = program.guest.name
                self.fault(program.guest, GuestFault(f"{name}: halted and waits for an interrupt that nothing will raise"))

    def _error(self) -> Exception:
        """The first error, which says whose it is and what else there was."""
        (guest, error), *others = self._faults
        error.guest = guest.name  # type: ignore[attr-defined]
        error.add_note(f"in guest {guest.name}, which has ended")
        for other, also in others:
            error.add_note(f"in guest {other.name}, too: {''.join(format_exception_only(also)).strip()}")
        return error

    def _check(self, pairs: Sequence[Runnable]) -> None:
        seen: list = []
        for pair in pairs:
            try:
                cpu, program = pair
            except (TypeError, ValueError):
                raise ValueError(f"host.run: {pair!r}; it takes (vCPU, program) pairs") from None
            if not isinstance(cpu, VCpu) or cpu.env is not self._env:
                raise ValueError(f"host.run: {cpu!r} is no vCPU of this host")
            whose = f"guest {cpu.guest.name}, vCPU {cpu.index}"
            if cpu.guest.destroyed:
                raise ValueError(f"host.run: {whose}: the guest has been destroyed")
            if not callable(program) and not hasattr(program, "send"):
                raise ValueError(f"host.run: {whose}: program {program!r}; a function of the vCPU, or a generator")
            own = (cpu,) if callable(program) else (cpu, program)
            if any(one is other for one in own for other in seen):
                raise ValueError(f"host.run: {whose}: the vCPU or its generator is there twice")
            seen += own


def _limit(limit_ns: SupportsIndex | None) -> int | None:
    """`limit_ns`, None or whole ns of at least 0; ValueError otherwise."""
    try:
        if limit_ns is None or index(limit_ns) >= 0:
            return limit_ns if limit_ns is None else index(limit_ns)
    except TypeError:
        pass
    raise ValueError(f"host.run: limit_ns {limit_ns}; whole ns, 0 or more, or None")


def _original(error: Exception) -> BaseException:
    """The error of a worker as it was raised.

    simpy raises a copy of it, made from its `args` alone; for a type that wants other
    arguments that fails, and a TypeError comes in its place.
    """
    at = error.__traceback__
    while at is not None and at.tb_frame.f_code is not Environment.step.__code__:
        at = at.tb_next
    event = at and at.tb_frame.f_locals.get("event")
    return error if event is None or event.ok or event.defused else event.value
