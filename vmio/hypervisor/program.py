"""A guest's program under way: stepped here, so that whatever goes wrong in it ends here.

simpy's own processes hand an error on as a new exception of the same type, made
from its `args` - which fails for a type that wants other arguments - and stop the
whole simulation for it.  A program's error is kept as it is and told to the host.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from simpy.events import Event, Initialize

from vmio.hypervisor.contracts import GuestCpu, Steps
from vmio.hypervisor.faults import GuestFault, GuestTimeout
from vmio.hypervisor.pending import At, Restoring, Saving
from vmio.machine.checkpoint import CheckpointRefused, Form, State, same
from vmio.machine.clock import Timer

PROGRAM = Form("program", 2, "guest", "vcpu", "starts", "over", "ends", "last", "still", "limit_ns", "limit_at", "begun", "calls")
STANDSTILL = 100_000   # waits in a row at one instant: the program will never let time pass


class Program(Event):
    """`program` (a function of the vCPU, or a generator) on `cpu`; the event is that it has ended, its value the result.

    A generator that it returns is run next, as a boot loader hands over.

    `failed(program, error)` is told of an error; it is no error of the event.
    Past `limit_ns` of virtual time the program gets a `GuestTimeout`.  What is no
    `Exception` (Ctrl-C) leaves the simulation as it is.
    """

    def __init__(self, cpu: GuestCpu, program: Any, limit_ns: int | None, failed: "Callable[[Program, Exception], None]") -> None:
        super().__init__(cpu.env)
        self.cpu, self.guest = cpu, cpu.guest
        self._program, self._failed, self._limit_ns = program, failed, limit_ns
        self._steps: Any = None        # the generator, once it has started
        self._timer: Any = None        # and the alarm at the end of what it may take
        self._over = False
        self.begun = False             # when it was saved,
        self._ends: At | None = None   # and when its end is to be told
        self._last: float = -1
        self._still = 0
        Initialize(self.env, self)  # type: ignore[arg-type]  # simpy asks for no more than `_resume`

    def end(self) -> None:
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

    # Checkpoint.

    def save(self, saving: Saving) -> State:
        """Return how far it is: not begun, in a wait of its vCPU, or over; what it was told so far is its `Recording`'s.

        `CheckpointRefused` for a program whose answers are not kept, or that waits for something else.
        """
        cpu, name = self.cpu, self.guest.name
        if cpu.recorded is None or not callable(self._program):
            raise CheckpointRefused(f"checkpoint at {saving.now} ns, {name}: its program's answers are not kept from its "
                                    "beginning; Machine(checkpoints=True) keeps them, of a program that is a function")
        if not (self._over or self._steps is None or cpu.waits):
            raise CheckpointRefused(f"checkpoint at {saving.now} ns, {name}: its program waits for what is no instruction")
        begun = self._steps is not None or self._over
        return PROGRAM.state(
            guest=name, vcpu=cpu.index, starts=[] if begun else saving.calls(self._resume), over=self._over,
            ends=saving.at(self) if self._over else None, last=int(self._last), still=self._still, limit_ns=self._limit_ns,
            limit_at=None if self._timer is None else self._timer.when, begun=begun, calls=cpu.recorded.clock.save())

    def restore(self, state: State, restoring: Restoring) -> None:
        """Be as far as the program that was saved; this one has not begun."""
        saved = PROGRAM.take(state)
        same(f"program of {self.guest.name}", [saved["guest"], saved["vcpu"], saved["limit_ns"]],
             [self.guest.name, self.cpu.index, self._limit_ns])
        self._last, self._still, self._over = saved["last"], saved["still"], saved["over"]
        if saved["limit_at"] is not None:
            self._timer = Timer(saved["limit_at"], None if self._over else self._out_of_time)
        for at in saved["starts"]:
            restoring.call(at, self._resume)
        self.cpu.recorded.clock.restore(saved["calls"])
        self._ends, self.begun = saved["ends"], saved["begun"]

    def tell(self) -> Any:
        """Begin the program anew, or let it go on with what it was told, to the end of its turn, or its own.

        Returns what it waits for, None once it has ended; `CheckpointRefused` if it does something else than the saved one.
        """
        cpu, name = self.cpu.recorded, self.guest.name
        try:
            if self._steps is None:
                self._steps = _body(cpu, self._program(cpu))
            return self._steps.send(None)
        except StopIteration as stop:
            if not self._over:
                raise CheckpointRefused(f"checkpoint, {name}: this program ends where the saved one went on") from None
            self._ok, self._value = True, stop.value
        except CheckpointRefused:
            raise
        except Exception as error:
            raise CheckpointRefused(f"checkpoint, {name}: this program fails on the answers of the saved one: "
                                    f"{type(error).__name__}: {error}") from error
        return None

    def go_on(self, restoring: Restoring) -> None:
        """All has been told: wait for what it waits for, or be over."""
        if not self._over:
            self.tell().callbacks.append(self._resume)
        elif not self.triggered:
            raise CheckpointRefused(f"checkpoint, {self.guest.name}: this program goes on where the saved one had ended")
        elif self._ends is None:
            self.callbacks = None          # type: ignore[assignment]  # as simpy has it, once all has been done about it
        else:
            restoring.decided(self._ends, self)

    @property
    def limit(self) -> Timer | None:
        """The `Timer` at the end of what it may take, or None."""
        return self._timer

    def _resume(self, event: Event) -> None:
        """`event`, which the program waited for, has happened: run the program until it waits again.

        The name is the one by which simpy's `Initialize` starts a process.
        """
        if self._over:                     # ended meanwhile
            event.defused = True
            return
        try:
            if self._steps is None:
                self._steps = _body(self.cpu.recorded or self.cpu, self._start())
        except Exception as error:  # noqa: BLE001  of a plain function; a StopIteration, too, is one here
            return self._failed(self, error)
        try:
            self._step(event)
        except StopIteration as stop:
            self._finish(stop.value)
        except Exception as error:  # noqa: BLE001  the program is its guest's: it ends that guest
            self._failed(self, error)

    def _step(self, event: Event) -> None:
        env = self.env
        while True:
            if not event._ok:
                event.defused = True
                event = self._steps.throw(event._value)
            elif self._timer is not None and self._overdue():
                event = self._steps.throw(self._late())
            else:
                event = self._steps.send(event._value)
            if self._over:                 # ended by what it has just done
                with suppress(Exception):
                    self._steps.close()
                return self._finish(None)
            if env.now != self._last:
                self._last, self._still = env.now, 0
            self._still += 1
            if self._still > STANDSTILL or not isinstance(event, Event) or event.env is not env:
                wrong = self._wrong(event)
                with suppress(StopIteration):
                    self._steps.throw(wrong)
                raise wrong                # it went on regardless
            if event.callbacks is not None:
                event.callbacks.append(self._resume)
                return
            # It has happened already: there is nothing to wait for.

    def _start(self) -> Any:
        if self._limit_ns is not None:
            self._allow()
        if self.cpu.recorded is not None:
            self.cpu.recorded.record.begins(self.cpu.index)
        return self._program(self.cpu.recorded or self.cpu) if callable(self._program) else self._program

    def _wrong(self, event: object) -> Exception:
        """The error of what the program has yielded: nothing to wait for, or once too often."""
        if not isinstance(event, Event) or event.env is not self.env:
            return TypeError(f"{self.guest.name}: the program yielded {type(event).__name__}, nothing to wait for; "
                             "`yield from cpu.hlt()`, `cpu.pay()` and `cpu.spin()` wait")
        return GuestFault(f"{self.guest.name}: {STANDSTILL:,} waits in a row at {self.env.now:,} ns; no time passes")

    # The time it may take.

    def _allow(self) -> None:
        clock = self.cpu.clock
        self._timer = clock.call_at(max(clock.now, self.cpu.now) + self._limit_ns,  # type: ignore[operator]  # there is one
                                     self._out_of_time)

    def _out_of_time(self) -> None:
        raise self._late()

    def _late(self) -> GuestTimeout:
        self._timer.cancel()
        self._allow()                      # once more, for a program that swallows this one
        return GuestTimeout(f"{self.guest.name}: still running after {self._limit_ns:,} ns of virtual time")

    def _overdue(self) -> bool:
        """It is late, and no clock tells it: it waits for events of the simulation itself."""
        return self.cpu.clock.now < self._timer.when < self.env.now

    def _finish(self, value: Any) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self.succeed(value)


def _body(cpu: GuestCpu, steps: Any) -> Steps:
    """All of a program: its steps, those of the generator that it returned to go on with, and then what it owes of its time."""
    while hasattr(steps, "send"):
        steps = yield from steps
    yield from cpu.pay()
    return steps
