"""What is to come in a simulation: how those who wait for it say so, and wait again elsewhere.

A checkpoint is taken between two steps.  Then whatever will happen is an event of the queue, and
whoever waits for it describes it: `Saving` gives (time, priority, place in the queue) for an event or
for a call-back, and notes that it was described.  What is left over at the end is something that
nobody would set again: the checkpoint is refused.  `Restoring` collects what parts set again, and
puts all of it into the queue in the order in which it was, because events of one instant have
an order, too.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from simpy.events import Event

from vmio.hypervisor.simulation import Simulation
from vmio.machine.checkpoint import CheckpointRefused

At: TypeAlias = list[int]      # time in ns, simpy's priority, place in the queue


class Decided(Event):
    """An event that has happened as far as anybody asks, and whose call-backs are to come."""

    def __init__(self, env: Simulation) -> None:
        super().__init__(env)
        self._ok, self._value = True, None


class Saving:
    """One checkpoint being taken; parts ask it when what they wait for will happen."""

    def __init__(self, env: Simulation) -> None:
        self.now = int(env.now)
        self.names: dict[int, Any] = {}        # id of a part's request -> how others may refer to it
        self.assigned: set[tuple[str, str]] = set()   # (guest, device) of devices in a guest's hands that a part has described
        self._events = env.to_come()
        self._of_event = {id(event): place for place, (_, _, event) in enumerate(self._events)}
        self._of_call: dict[Any, list[int]] = {}
        self._described: set[int] = set()
        for place, (_, _, event) in enumerate(self._events):
            for call in event.callbacks or ():
                self._of_call.setdefault(call, []).append(place)

    def at(self, event: Event | None) -> At | None:
        """Return when this event, which somebody waits for, will happen; None for an event that nothing has caused yet."""
        place = None if event is None else self._of_event.get(id(event))
        return None if place is None else self._describe(place)

    def calls(self, call: Callable) -> list[At]:
        """Return when `call` will be called, once for each time."""
        return [self._describe(place) for place in self._of_call.get(call, ())]

    def matching(self, kind: type, ours: Callable[[Any], bool]) -> list[tuple[Any, At]]:
        """Return (call-back, when) for each call-back of this type that is to come and is `ours`."""
        return [(call, self._describe(place)) for call, places in self._of_call.items() if type(call) is kind and ours(call)
                for place in places]

    def rest(self) -> list[At]:
        """Return when events happen that nobody waits for; `CheckpointRefused` for one that no part has described."""
        rest = []
        for place, (when, _, event) in enumerate(self._events):
            if place in self._described:
                continue
            if not event.callbacks:
                rest.append(self._describe(place))
            else:
                who = getattr(event.callbacks[0], "__qualname__", type(event.callbacks[0]).__name__)
                raise CheckpointRefused(f"checkpoint at {self.now} ns: something waits until {when} ns that no part can save ({who})")
        return rest

    def _describe(self, place: int) -> At:
        when, priority, event = self._events[place]
        if len(event.callbacks or ()) > 1:
            raise CheckpointRefused(f"checkpoint at {self.now} ns: several wait for one event at {when} ns")
        self._described.add(place)
        return [when, priority, place]


class Restoring:
    """One checkpoint being taken back: parts set again what they wait for, and `finish` lets all of it be to come."""

    def __init__(self, env: Simulation, now: int) -> None:
        self.env, self.now = env, now
        self.named: dict[Any, Any] = {}        # how others refer to a part's request -> the request
        self._events: list[tuple[At, Event]] = []
        self._last: list[Callable[[], None]] = []
        env.set_again(now, [])

    def event(self, at: At | None) -> Event:
        """Return an event that happens then; for None, one that somebody has yet to cause."""
        if at is None:
            return self.env.event()
        event = Decided(self.env)
        self.decided(at, event)
        return event

    def decided(self, at: At, event: Event) -> None:
        """Let the call-backs of this event, which has its value, be called then."""
        self._events.append((at, event))

    def call(self, at: At, call: Callable) -> None:
        """Let `call(event)` be called then."""
        callbacks = self.event(at).callbacks
        if callbacks is not None:
            callbacks.append(call)

    def last(self, do: Callable[[], None]) -> None:
        """Do this when all parts are restored: it needs another's state."""
        self._last.append(do)

    def finish(self) -> None:
        """Let those who waited wait again, and set what is to come."""
        for do in self._last:
            do()
        while self.env.peek() <= self.now:     # processes begin, and wait for their events at once
            self.env.step()
        if self.env.to_come():
            raise CheckpointRefused("checkpoint: a part did not wait where it waited when it was saved")
        ordered = sorted(self._events, key=lambda each: each[0][2])
        self.env.set_again(self.now, [(at[0], at[1], event) for at, event in ordered])
