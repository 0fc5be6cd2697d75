"""The process of a bus's server: it sleeps until there is a message to answer, or room for an answer."""

from collections import deque
from collections.abc import Callable

from simpy.events import Event, Process

from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.cores import Spell
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.hyperv.hypercalls import Enlightenments, MessagePort
from vmio.hypervisor.simulation import Simulation
from vmio.vmbus.bus import messages as m


class ServerProcess:
    """The part of `VmbusServer` that waits.  Where it waits is in `begin`, `nap` and `core`, so it can go on elsewhere."""

    guest: Guest
    hypervisor: Enlightenments
    process: Process
    _env: Simulation
    _port: MessagePort
    _outgoing: deque[tuple[int, int, bytes]]
    _resetting: bool
    _disconnect: Callable[[], Steps[None]]
    _handle: Callable[..., Steps[None]]
    _idle: Event | None = None
    begin: Event | None = None      # of a process that had not begun when it was saved
    nap: Event | None = None        # it sleeps; otherwise it has a core, or does something
    core: Spell

    def start(self) -> None:
        """Begin."""
        self.core = Spell(self.guest.host.cores, worker=True)
        self.process = self.guest.host.process(self.guest, self._serve())

    def _kick(self, when: int) -> None:
        self.guest.host.at(when, self.kicked)

    def kicked(self, event: Event) -> None:
        """A message has come, or may go."""
        self._wake()

    def _wake(self) -> None:
        if self._idle is not None and not self._idle.triggered:
            self._idle.succeed()

    def _serve(self, again: bool = False) -> Steps[None]:
        """Answer messages one by one; while the guest doesn't take our answers, we don't take its messages.

        It goes on where it was when it was saved (`again`), or had not begun yet (`begin`).
        """
        queue = self._port.queue
        if self.begin is not None:
            yield self.begin
            self.begin = None
        while True:
            if again:
                again = False
                yield from self._sleep()
            elif self._resetting:
                self._resetting = False
                yield from self._disconnect()
                self._outgoing.clear()   # also what was answered to the guest before the reset
            elif self._outgoing and self.hypervisor.synics[self._outgoing[0][0]].post(
                    self._outgoing[0][1], m.MESSAGE_TYPE, self._outgoing[0][2], sender=m.MESSAGE_CONNECTION):
                self._outgoing.popleft()
            elif not self._outgoing and queue and queue[0][0] <= self._env.now:
                yield from self._handle(*queue.popleft()[1:])
            else:
                self.nap = self._idle = self._env.event()
                if not self._outgoing and queue:
                    self._kick(queue[0][0])
                yield from self._sleep()

    def _sleep(self) -> Steps[None]:
        """Sleep until there is something to do, and wake up, which takes its time."""
        ns = None
        if self.nap is not None:
            yield self.nap
            self.nap, ns = None, self.guest.host.costs.worker_wakeup_ns
        yield from self.core.spend(ns)
