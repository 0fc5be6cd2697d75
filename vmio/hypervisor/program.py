"""A guest's program under way: stepped here, so that whatever goes wrong in it ends here.

simpy's own processes hand an error on as a new exception of the same type, made
from its `args` - which fails for a type that wants other arguments - and stop the
whole simulation for it.  A program's error is kept as it is and told to the host.
"""

from contextlib import suppress
from typing import Any

from simpy.events import Event, Initialize

from vmio.hypervisor.faults import GuestFault, GuestTimeout

STANDSTILL = 100_000   # waits in a row at one instant: the program will never let time pass


class Program(Event):
    """`program` (a function of the vCPU, or a generator) on `cpu`; the event is that it has ended, its value the result.

    `failed(program, error)` is told of an error; it is no error of the event.
    Past `limit_ns` of virtual time the program gets a `GuestTimeout`.  What is no
    `Exception` (Ctrl-C) leaves the simulation as it is.
    """

    def __init__(self, cpu, program, limit_ns, failed):
        super().__init__(cpu.env)
        self.cpu, self.guest = cpu, cpu.guest
        self._program, self._failed, self._limit_ns = program, failed, limit_ns
        self._steps: Any = None        # the generator, once it has started
        self._timer: Any = None        # and the alarm at the end of what it may take
        self._over = False
        self._last: float = -1
        self._still = 0
        Initialize(self.env, self)  # type: ignore[arg-type]  # simpy asks for no more than `_resume`

    def end(self):
        """End it where it waits: its `finally` clauses run now.  A no-op if it is over already."""
        if self._over:
            return
        self._over = True
        if self._steps is not None:
            if self._steps.gi_running:     # its own instruction ends it: `_resume` will see to it
                return
            with suppress(Exception):      # it is to end, whatever it says to that
                self._steps.close()
        self._finish(None)

    def _resume(self, event):
        """`event`, which the program waited for, has happened: run the program until it waits again.

        The name is the one by which simpy's `Initialize` starts a process.
        """
        if self.triggered:                 # ended meanwhile
            event.defused = True
            return
        try:
            if self._steps is None:
                self._steps = _body(self.cpu, self._start())
        except Exception as error:  # noqa: BLE001  of a plain function; a StopIteration, too, is one here
            return self._failed(self, error)
        try:
            self._step(event)
        except StopIteration as stop:
            self._finish(stop.value)
        except Exception as error:  # noqa: BLE001  the program is its guest's: it ends that guest
            self._failed(self, error)

    def _step(self, event):
        while True:
            if not event.ok:
                event.defused = True
                event = self._steps.throw(event.value)
            elif self._overdue():
                event = self._steps.throw(self._late())
            else:
                event = self._steps.send(event.value)
            if self._over:                 # ended by what it has just done
                with suppress(Exception):
                    self._steps.close()
                return self._finish(None)
            wrong = self._wrong(event)
            if wrong is not None:
                with suppress(StopIteration):
                    self._steps.throw(wrong)
                raise wrong                # it went on regardless
            if event.callbacks is not None:
                event.callbacks.append(self._resume)
                return
            # It has happened already: there is nothing to wait for.

    def _start(self):
        if self._limit_ns is not None:
            self._allow()
        return self._program(self.cpu) if callable(self._program) else self._program

    def _wrong(self, event):
        """The error of what the program has yielded, or None."""
        now = self.env.now
        if not isinstance(event, Event) or event.env is not self.env:
            return TypeError(f"{self.guest.name}: the program yielded {type(event).__name__}, nothing to wait for; "
                             "`yield from cpu.hlt()`, `cpu.pay()` and `cpu.spin()` wait")
        if now != self._last:
            self._last, self._still = now, 0
        self._still += 1
        if self._still > STANDSTILL:
            return GuestFault(f"{self.guest.name}: {STANDSTILL:,} waits in a row at {now:,} ns; no time passes")
        return None

    # The time it may take.

    def _allow(self):
        clock = self.cpu.clock
        self._timer = clock.call_at(max(clock.now, self.cpu.now) + self._limit_ns, self._out_of_time)

    def _out_of_time(self):
        raise self._late()

    def _late(self):
        self._timer.cancel()
        self._allow()                      # once more, for a program that swallows this one
        return GuestTimeout(f"{self.guest.name}: still running after {self._limit_ns:,} ns of virtual time")

    def _overdue(self):
        """It is late, and no clock tells it: it waits for events of the simulation itself."""
        return self._timer is not None and self.cpu.clock.now < self._timer.when < self.env.now

    def _finish(self, value):
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self.succeed(value)


def _body(cpu, steps):
    """All of a program: its steps, and then what it owes of its time."""
    result = (yield from steps) if hasattr(steps, "send") else steps
    yield from cpu.pay()
    return result
