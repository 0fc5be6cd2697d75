"""The host's processor cores: who wants to run waits in line for a free one, and who sleeps has an alarm."""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from simpy.events import Event

from vmio.hypervisor.exits import ExitReason, Intercept
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.simulation import Simulation
from vmio.machine.checkpoint import CheckpointRefused, Form, State, same
from vmio.machine.clock import NEVER

MAX_SPANS = 1 << 16   # a program that goes on for longer without waiting is remembered from its end back
SCHEDULER, TIMER = "host scheduler", "host timer"

CORES = Form("cores", 1, "count", "free", "line", "busy_ns")
IN_GUEST = Form("vCPU in its guest", 1, "edges", "last", "start", "end", "used_ns", "stopped_ns")
SPELL = Form("time on a core", 1, "asked", "left", "place", "turn", "timer")
ALARM = Form("alarm", 1, "when", "pending")
HORIZON = 1_000_000_000   # ns: no event is made for later than this ahead


class Cores:
    """`count` cores of a simulation.  A free one is taken without an event, so time spent alone costs one.

    Nobody who computes for long keeps the others out: at the end of a slice of
    `slice_ns` whoever waits goes first, and the rest of the work goes to the end of
    the line.  The line is by arrival alone - a real scheduler lets sleepers go first,
    and so can afford longer slices.
    """

    def __init__(self, env: Simulation, count: int, slice_ns: int) -> None:
        if slice_ns < 1:
            raise ValueError(f"slice_ns {slice_ns}: at least 1")
        self.env, self.count, self.slice_ns = env, count, slice_ns
        self.busy_ns = 0           # core time of the host's workers; the vCPUs' is the rest
        self._free = count         # below 0: so many cores are to go, when they are given back
        self._line: deque[Event] = deque()
        self._again: dict[int, Event] = {}     # while a checkpoint is restored: place in line -> turn

    def resize(self, count: int) -> None:
        """Have `count` (at least 1) cores from now on: a new one serves the line at once, a busy one goes when given back."""
        self._free += count - self.count
        self.count = count
        while self._line and self._free > 0:
            self._free -= 1
            self._line.popleft().succeed()

    def work(self, ns: int) -> Generator[Event, Any, None]:
        """Spend `ns` for a worker of the host: `yield from host.cores.work(ns)`."""
        return Spell(self, worker=True).spend(ns)

    def spend(self, ns: int) -> Generator[Event, Any, None]:
        """Hold a core for `ns`, after waiting for it in order of arrival: `yield from cores.spend(ns)`."""
        return Spell(self).spend(ns)

    def slice(self, ns: int) -> int:
        """Return how much of `ns`, more than a slice, may pass at once: a slice, or several if nobody can come meanwhile."""
        if self._line:
            return self.slice_ns
        return max(1, int(min(ns - 1, self.env.peek() - self.env.now) // self.slice_ns)) * self.slice_ns

    def save(self, saving: Saving) -> State:
        """Return how many there are and how many are free; who holds or awaits one says so himself (`Spell`)."""
        return CORES.state(count=self.count, free=self._free, line=len(self._line), busy_ns=self.busy_ns)

    def restore(self, state: State, restoring: Restoring) -> None:
        """Take back what `save` gave; those in line have come back when all is restored."""
        saved = CORES.take(state)
        self.count, self._free, self.busy_ns = saved["count"], saved["free"], saved["busy_ns"]
        self._line.clear()
        self._again = {}

        def line_up() -> None:
            same("cores, who waits for one", saved["line"], len(self._again))
            self._line.extend(turn for _, turn in sorted(self._again.items()))
        restoring.last(line_up)

    def place(self, turn: Event) -> int | None:
        """Return the place in line of this turn, or None if it is not in line any more."""
        return self._line.index(turn) if turn in self._line else None

    def wait_again(self, place: int, turn: Event) -> None:
        """Be in line at this place, while a checkpoint is restored."""
        self._again[place] = turn

    def _turn(self) -> Event:
        """An event for when whoever leaves hands us a core."""
        self._line.append(self.env.event())
        return self._line[-1]

    def _give_back(self) -> None:
        """To the first in line, if the host keeps this core."""
        if self._line and self._free >= 0:
            self._line.popleft().succeed()
        else:
            self._free += 1


class InGuest:
    """What stops the vCPU `cpu` from outside while it is in the guest: the end of its time slice, and the host's tick.

    Each is an interrupt of the host's own, and an exit if guest instructions run at that time.
    While the hypervisor handles an exit it has the core already, and gives it away without another.
    A vCPU runs ahead of the simulation, so for the end of a slice that question is about its past:
    kept are the spans of its own time, in ns, in which guest instructions ran since it last paid.
    """

    __slots__ = ("_cpu", "edges", "_last", "_start", "_end", "_tick_ns", "used_ns", "stopped_ns")

    def __init__(self, cpu: Any) -> None:
        self._cpu, self._tick_ns = cpu, cpu.guest.host.tick_ns
        self.edges: list[int] = []      # from, until, from, until, ...
        self._last = self._start = self._end = -1
        self.used_ns = 0                # of core time since it was last off its core: asleep, or stopped
        self.stopped_ns = 0             # what losing its core has cost in all

    def save(self) -> State:
        """Return what it remembers."""
        return IN_GUEST.state(edges=self.edges, last=self._last, start=self._start, end=self._end, used_ns=self.used_ns,
                              stopped_ns=self.stopped_ns)

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        saved = IN_GUEST.take(state)
        self.edges, self._last, self._start, self._end = list(saved["edges"]), saved["last"], saved["start"], saved["end"]
        self.used_ns, self.stopped_ns = saved["used_ns"], saved["stopped_ns"]

    def run(self, ns: int) -> None:
        """Let the guest compute for `ns`; its timers and the host's tick stop it on the way."""
        cpu, tick = self._cpu, self._tick_ns
        while True:
            next_tick = (cpu.now // tick + 1) * tick if tick else NEVER
            due = min(cpu.clock.due, next_tick)
            if due > cpu.now + ns:
                break
            step = max(due - cpu.now, 0)
            ns -= step
            self._until(cpu.now + step)
            if due == next_tick:
                cpu.charge(self._interrupt(TIMER))
        self._until(cpu.now + ns)

    def add(self, start: int, end: int) -> None:
        """Note that the guest ran from `start` to `end`, not before the spans noted so far."""
        edges = self.edges
        if edges and edges[-1] == start:
            edges[-1] = end
        elif start < end:
            edges += (start, end)
            if len(edges) > 2 * MAX_SPANS:
                del edges[:MAX_SPANS]

    def _until(self, now: int) -> None:
        self.add(self._cpu.now, now)
        self._cpu.pass_time(now)

    def owe(self, ns: int) -> None:
        """From here on `lost` is asked about the `ns` up to the vCPU's `now`."""
        self._end = self._cpu.now
        self._start = self._end - ns
        self.used_ns += ns

    def lost(self, left: int) -> int:
        """Somebody else gets the core, `left` ns before the vCPU has spent what it owes.  Returns what that costs in ns.

        A vCPU that pays often gives others its core before its slice is up.  That is the simulation's finer grain, and
        no exit: a real one would have run on.
        """
        at = self._end - left
        if at == self._start and self.used_ns - left < self._cpu.guest.host.cores.slice_ns:
            return 0
        if at <= self._last or not bisect_right(self.edges, at) & 1:
            return 0
        self._last, self.used_ns = at, left
        row = self._interrupt(SCHEDULER)
        row.count += 1
        self._cpu.now += row.cost
        self.stopped_ns += row.cost
        return row.cost

    def _interrupt(self, device: str) -> Intercept:
        cpu = self._cpu
        row = cpu.table.priced(ExitReason.EXTERNAL_INTERRUPT, device, cpu.costs.hypercall_ns + cpu.costs.host_interrupt_ns)
        cpu.table.record(row, 0)
        return row
class Spell:
    """Somebody's time on the cores, one at a time, which can go on in another machine; that of a `worker` counts as busy.

    `lost(left)` is called when somebody else gets a core `left` ns before the end, all of it if none was free at the
    beginning; it returns how many ns that costs.  `left` of the `asked` ns are still to be begun when it is our `turn`, or when `timer` rings.
    """

    __slots__ = ("_cores", "_worker", "_lost", "asked", "left", "turn", "timer")

    def __init__(self, cores: Cores, worker: bool = False, lost: Callable[[int], int] | None = None) -> None:
        self._cores, self._worker, self._lost = cores, worker, lost
        self.asked = self.left = 0
        self.turn: Event | None = None
        self.timer: Event | None = None

    def spend(self, ns: int | None = None) -> Generator[Event, Any, None]:
        """Hold a core for `ns`, after waiting for it: `yield from spell.spend(ns)`.  Without `ns`: the rest of what was restored."""
        cores = self._cores
        if ns is not None:
            self.asked = self.left = ns
            if cores._free <= 0:
                self.turn = self._wait(cores._turn())
            else:
                cores._free -= 1
                if ns <= cores.slice_ns:       # as nearly always
                    self.left, self.timer = 0, cores.env.timeout(ns)
        try:
            if self.timer is None and self.turn is not None:
                yield self.turn
            while True:
                if self.timer is None:
                    ns = self.left if self.left <= cores.slice_ns else cores.slice(self.left)
                    self.left -= ns
                    self.timer = cores.env.timeout(ns)
                yield self.timer
                if not self.left:
                    break
                self.timer = None
                if cores._line or cores._free < 0:
                    self.turn = self._wait(cores._turn())
                    cores._give_back()
                    yield self.turn
            if self._worker:
                cores.busy_ns += self.asked
        finally:
            turn, self.turn, self.timer = self.turn, None, None
            if turn is not None and not turn.triggered:
                cores._line.remove(turn)    # ended while it waited: it had no core
            elif cores._line:
                cores._give_back()
            else:
                cores._free += 1

    def _wait(self, turn: Event) -> Event:
        if self._lost is not None:
            self.left += self._lost(self.left)
        return turn

    @property
    def busy(self) -> bool:
        """Whether it is under way."""
        return self.timer is not None or self.turn is not None

    def save(self, saving: Saving) -> State | None:
        """Return where it is, or None if it is not under way."""
        if not self.busy:
            return None
        if self.timer is not None or self.turn is None:
            return SPELL.state(asked=self.asked, left=self.left, place=None, turn=None, timer=saving.at(self.timer))
        return SPELL.state(asked=self.asked, left=self.left, place=self._cores.place(self.turn), turn=saving.at(self.turn), timer=None)

    def restore(self, state: State | None, restoring: Restoring) -> None:
        """Take back what `save` gave; `spend()` does the rest."""
        self.turn = self.timer = None
        if state is None:
            return
        saved = SPELL.take(state)
        self.asked, self.left = saved["asked"], saved["left"]
        if saved["timer"] is not None:
            self.timer = restoring.event(saved["timer"])
            return
        self.turn = restoring.event(saved["turn"])
        if saved["place"] is not None:
            if saved["turn"] is not None:
                raise CheckpointRefused("checkpoint, time on a core: who is in line for one has not been handed one")
            self._cores.wait_again(saved["place"], self.turn)


class Alarm:
    """One sleeper's alarm in the simulation, set again and again: it calls `ring()` at the time that was set last.

    An event of the simulation can't be taken back.  So an earlier one that is still to
    come is used to set the next: a guest that sleeps with a time-out and is woken by an
    interrupt, again and again, leaves no event behind for each time.
    """

    __slots__ = ("_env", "_ring", "_when", "_pending")

    def __init__(self, env: Simulation, ring: Callable[[], None]) -> None:
        self._env, self._ring = env, ring
        self._when = NEVER
        self._pending: list[int] = []        # times of the events that are to come, latest first

    def at(self, when: int) -> None:
        """Ring at `when` (ns), or at once if that is past; `NEVER` for not at all."""
        self._when = when
        if when < NEVER:
            now = self._env.now
            when = min(max(when, now), now + HORIZON)
            if not self._pending or when < self._pending[-1]:
                self._pending.append(when)
                self._env.timeout(when - now).callbacks.append(self._comes)

    def off(self) -> None:
        """Don't ring."""
        self._when = NEVER

    def save(self, saving: Saving) -> State:
        """Return when it is to ring, and the events that are to come."""
        return ALARM.state(when=self._when, pending=saving.calls(self._comes))

    def restore(self, state: State, restoring: Restoring) -> None:
        """Take back what `save` gave."""
        saved = ALARM.take(state)
        self._when, self._pending = saved["when"], sorted((at[0] for at in saved["pending"]), reverse=True)
        for at in saved["pending"]:
            restoring.call(at, self._comes)

    def _comes(self, event: Event) -> None:
        self._pending.pop()
        if self._when <= self._env.now:
            self._when = NEVER
            self._ring()
        else:
            self.at(self._when)
