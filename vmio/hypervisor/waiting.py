"""How a vCPU waits: HLT, polling, and letting its time pass for the others, too.

Where it is in a wait is kept in attributes, not in a generator's frame, so that a wait which is under way
when its state is saved goes on in another machine (`go_on`).
"""

from collections.abc import Callable
from typing import Any, SupportsIndex

from simpy.events import Event

from vmio.hypervisor.apic import TSC_DEADLINE, LocalApic
from vmio.hypervisor.contracts import Partition, Span, Steps
from vmio.hypervisor.cores import Alarm, InGuest, Spell
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.exits import ExitReason
from vmio.hypervisor.faults import GuestFault
from vmio.hypervisor.halt_poll import HaltPoll
from vmio.hypervisor.simulation import Simulation
from vmio.machine.clock import LONGEST, NEVER, Clock, whole_ns

STANDSTILL = 1_000_000  # times in a row that it pays for no time at all: it will never let time pass


class Waiting:
    """The part of a `VCpu` that waits."""

    guest: Partition
    env: Simulation
    clock: Clock
    costs: CostModel
    apic: LocalApic
    now: int
    attention: bool
    interrupts_enabled: bool
    interrupts: int
    idle_ns: int
    slept: Span | None
    poller: HaltPoll | None = None       # of a host that looks for a while before it lets go of the core
    attend: Callable[[], None]
    interrupted: Callable[[], None]
    compute: Callable[[SupportsIndex], None]
    _plain: Callable[..., None]

    def start_waiting(self) -> None:
        """Begin with no wait under way, and all of its time paid."""
        self._again = False               # a HLT goes on that was under way when the guest was saved
        self._halted: Any = None          # of a HLT under way: (interrupts before, since when, until when)
        self._owed: Event | None = None   # what it waits for: time paid for already,
        self._asleep: Event | None = None # an interrupt (`_wake` until it is on its way),
        self._wake: Event | None = None
        self._alarm = Alarm(self.env, self._alarmed)
        self._paid = self.now             # how much of its time has been spent on a core
        self.in_guest, self._ticks = InGuest(self), bool(self.guest.host.tick_ns)
        self._core = Spell(self.guest.host.cores, lost=self.in_guest.lost)      # or a core
        self._armed = self.halts_until = NEVER     # when its timer is to interrupt; when the last HLT was to end
        self._unmoved = 0                 # times in a row that there was nothing to pay for

    def hlt(self, timeout_ns: SupportsIndex | None = None, watchdog_ns: SupportsIndex | None = None) -> Steps[bool]:
        """HLT: wait for an interrupt (`yield from cpu.hlt()`); its handler has run on return.

        `timeout_ns` arms the vCPU's timer, one more exit unless it is armed for that time already.
        `watchdog_ns` is for what should never come: the guest's periodic look at its time-outs, armed long before.
        Returns True for an interrupt, False when the time was up first.  ValueError for a time that `compute` refuses.
        """
        if self._again:                   # it was under way, and has caught up, when it was saved
            self._again = False
        else:
            until = NEVER
            if self.guest.polled_by is not None:
                self.guest.polled_by(self.now)     # whoever polls its memory will find it as it is now
            seen = self.interrupts
            if timeout_ns is not None:
                until = self.now + whole_ns("hlt", timeout_ns, self.now)
                if until != self._armed:
                    self._arm(until)
            if watchdog_ns is not None and not (
                    type(watchdog_ns) is int and 0 <= watchdog_ns <= LONGEST and self.now + watchdog_ns < NEVER):
                watchdog_ns = whole_ns("hlt", watchdog_ns, self.now)
            self._plain(ExitReason.HLT, 0)
            until = self.halts_until = until if watchdog_ns is None else min(until, self.now + watchdog_ns)
            self._asleep = None           # of a program that was ended while it slept
            self._halted = seen, self.now - self.in_guest.stopped_ns, until
            yield from self._catch_up()
        (seen, started, until), env, clock = self._halted, self.env, self.clock
        started += self.in_guest.stopped_ns
        if self.interrupts > seen:        # it came before the hypervisor let go of the core
            self._slept(started)
            return True
        while self._asleep is not None or not (self.attention and self.interrupts_enabled):
            if self._asleep is None:
                if self.now >= until:
                    self._slept(started)
                    if self.poller is not None:
                        self.poller.halted(self.now - started)
                    return False
                wake_at = until if clock.due == NEVER else min(clock.deadline(), until)
                if wake_at == NEVER or wake_at >= env.peek():
                    self._asleep = self._wake = env.event()     # until then, or until the interrupt line rises
                    self._alarm.at(wake_at)
            if self._asleep is not None:
                yield self._asleep
                self._asleep = None
                self._wake = None
                self._alarm.off()
                self.now = self._paid = max(self.now, env.now)
            else:                         # nothing else happens until then: no need to tell the simulation
                self.now = self._paid = max(self.now, wake_at)
            if clock.now < self.now < clock.due:
                clock.now = self.now
            else:
                clock.advance_to(self.now)
        self._slept(started)
        wakes = self.costs.wakeup_ns if self.poller is None else self.poller.wakes(self.now - started, self.costs)
        self.now += wakes
        self.idle_ns += wakes
        if clock.now < self.now < clock.due:
            clock.now = self.now
        else:
            clock.advance_to(self.now)
        self.apic.by_host = False         # nobody ran whom the host's handler could have stopped
        self.attend()
        return self.interrupts > seen

    def _arm(self, when: int) -> None:
        """Write the deadline of the local APIC's timer; a synthetic timer (STIMER0_COUNT) would be the same exit."""
        self._armed = when
        self._plain(ExitReason.WRMSR, TSC_DEADLINE, when)

    def _slept(self, started: int) -> None:
        self._halted = None
        self.idle_ns += self.now - started
        self.in_guest.used_ns = 0
        if self.slept is not None:
            self.slept((started, self.now))

    def _alarmed(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            wake.succeed()

    def hold(self, ns: int) -> int:
        """Let it stand still for `ns` of its own time, as a host does that throttles it; no exit, and nothing is lost.

        For who stands between two steps of the run.  Returns how long that was: 0 for a vCPU that sleeps.
        """
        if self._halted is not None:
            return 0
        self.now += ns
        return ns

    def pay(self) -> Steps[None]:
        """Let the others catch up with this vCPU's own time, on a host core: `yield from cpu.pay()`.

        Free if nothing else happens before that time.  With all cores busy it takes longer.
        What interrupted meanwhile is delivered at its end.  `GuestFault` for who does nothing else.
        """
        self._unmoved = 0 if self.now > self._paid else self._unmoved + 1
        if self._unmoved > STANDSTILL:
            raise GuestFault(f"{self.guest.name}: {STANDSTILL:,} times pay() in a row at {self.now:,} ns; no time passes")
        if self.guest.polled_by is not None:
            self.guest.polled_by(self.now)     # whoever polls its memory will find it as it is now
        yield from self._catch_up()
        self.interrupted()

    def spin(self) -> Steps[None]:
        """Poll: no exit, until memory may have changed; a look takes `poll_ns` or more.  `GuestFault` if nothing changes it."""
        if self.guest.polled_by is not None:
            self.guest.polled_by(self.now)     # whoever polls its memory will find it as it is now
        until = min(self.env.peek(), self.clock.deadline())
        if until >= NEVER:
            raise GuestFault(f"{self.guest.name}: polls for what nothing will change")
        self.compute(max(int(until) - self.now, self.costs.poll_ns, 1))
        yield from self.pay()

    def _catch_up(self, again: bool = False) -> Steps[None]:
        """Let its own time pass for the others, too; `again`: the rest of what was under way when its state was saved."""
        env = self.env
        if again or env.peek() <= self.now > env.now:
            debt = None
            if not (again and self._core.busy):
                if not again:             # slept or paid for already: that needs no core
                    self._owed = env.timeout(self._paid - env.now) if self._paid > env.now else None
                if self._owed is not None:
                    yield self._owed
                    self._owed = None
                debt = self.now - max(env.now, self._paid)
                self.in_guest.owe(debt)
            yield from self._core.spend(debt)
            self.now = max(self.now, env.now)
        self._paid = self.now
        self.in_guest.edges.clear()       # that time has passed for all

    def go_on(self) -> Steps[bool | None]:
        """Do the rest of a `hlt` or `pay` that was under way when its state was saved; a generator with the same result."""
        if self._asleep is None:
            yield from self._catch_up(again=True)
        if self._halted is not None:
            self._again = True
            return (yield from self.hlt())
        self.interrupted()
        return None

    @property
    def waits(self) -> bool:
        """Whether a `hlt` or `pay` is under way: everything else ends in the step in which it begins."""
        return self._asleep is not None or self._owed is not None or self._core.busy
