"""Several guests' programs at once: what one does wrong ends that guest and no other."""

from operator import index
from traceback import format_exception_only

from simpy.core import EmptySchedule, Environment

from vmio.hypervisor.faults import GuestFault
from vmio.hypervisor.program import Program
from vmio.hypervisor.vcpu import VCpu


class Run:
    """The (vCPU, program) pairs of one `Host.run`.  ValueError for what can't be run, before anything has."""

    def __init__(self, env, pairs, limit_ns):
        self._env, self._faults = env, []      # (guest, error): the first of each guest
        self._check(pairs)
        limit_ns = _limit(limit_ns)
        self._programs = [Program(cpu, program, limit_ns, lambda program, error: self.fault(program.guest, error))
                          for cpu, program in pairs]

    def to_the_end(self):
        """The programs' results, when all have ended; raises the first error of a guest, if there was one."""
        step = self._env.step
        try:
            for program in self._programs:
                if not program.triggered:
                    while not program.processed:
                        try:
                            step()
                        except EmptySchedule:
                            self._stuck()
        except Exception as error:  # noqa: BLE001  the host's own: no guest could be blamed
            raise _original(error)  # noqa: B904  simpy's copy is what hides the cause
        finally:
            for program in self._programs:
                program.end()
        if self._faults:
            raise self._error()
        return [program.value for program in self._programs]

    def fault(self, guest, error):
        """End the guest's programs; its first error is kept."""
        if all(guest is not other for other, _ in self._faults):
            self._faults.append((guest, error))
        for program in self._programs:
            if program.guest is guest:
                program.end()

    def _stuck(self):
        for program in self._programs:
            if not program.triggered:
                name = program.guest.name
                self.fault(program.guest, GuestFault(f"{name}: halted and waits for an interrupt that nothing will raise"))

    def _error(self):
        """The first error, which says whose it is and what else there was."""
        (guest, error), *others = self._faults
        error.guest = guest.name
        error.add_note(f"in guest {guest.name}, which has ended")
        for other, also in others:
            error.add_note(f"in guest {other.name}, too: {''.join(format_exception_only(also)).strip()}")
        return error

    def _check(self, pairs):
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


def _limit(limit_ns):
    """`limit_ns`, None or whole ns of at least 0; ValueError otherwise."""
    try:
        if limit_ns is None or index(limit_ns) >= 0:
            return limit_ns
    except TypeError:
        pass
    raise ValueError(f"host.run: limit_ns {limit_ns}; whole ns, 0 or more, or None")


def _original(error):
    """The error of a worker as it was raised.

    simpy raises a copy of it, made from its `args` alone; for a type that wants other
    arguments that fails, and a TypeError comes in its place.
    """
    at = error.__traceback__
    while at is not None and at.tb_frame.f_code is not Environment.step.__code__:
        at = at.tb_next
    event = at and at.tb_frame.f_locals.get("event")
    return error if event is None or event.ok or event.defused else event.value
