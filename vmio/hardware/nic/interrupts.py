"""From a cause to a message: cause register, mask, automatic clearing and masking, and not too often (interrupt moderation).

A cause is a vector here, as it is with MSI-X.  A message leaves when a cause is set that was not, or a mask goes over one that is;
EIAC clears the cause with it, EIAM masks it, so a driver needs no more than one store to let the next one come.  EITR gives the
time that must have passed since a vector's last message.  The credit counter that newer drivers reload with it is left out.
Source: Intel 82576EB data sheet, 7.3 "Interrupts", 8.8 "Interrupt Registers".
"""

from functools import partial

from vmio.devices.pci.msix import Msix
from vmio.hardware.nic import registers as r
from vmio.machine.checkpoint import Form, same_entries
from vmio.machine.clock import Timer
from vmio.machine.contracts import Pending, State, Timers

INTERRUPTS = Form("network card's interrupts", 1, "cause", "mask", "auto_clear", "auto_mask", "intervals", "ready_at", "msix", "waiting")

US = 1000


class Interrupts:
    """`vectors` causes, whose messages `msix` sends."""

    def __init__(self, clock: Timers, vectors: int) -> None:
        self.clock, self.vectors, self.all = clock, vectors, (1 << vectors) - 1
        self.msix = Msix(vectors, lambda vector: None)
        self._alarms: list[Pending | None] = [None] * vectors
        self.power_on()

    def power_on(self) -> None:
        """Nothing is the case, and all is masked."""
        self.cause = self.mask = self.auto_clear = self.auto_mask = 0
        self.intervals = [0] * self.vectors         # EITR as written
        self.ready_at = [0] * self.vectors          # ns: when the next message may leave
        for alarm in self._alarms:
            if alarm is not None:
                alarm.cancel()
        self._alarms = [None] * self.vectors

    def read(self, offset: int) -> int:
        """Return a register; reading EICR clears it."""
        if offset == r.EICR:
            cause, self.cause = self.cause, 0
            return cause
        if offset == r.EIAC:
            return self.auto_clear
        if offset == r.EIAM:
            return self.auto_mask
        if offset in (r.EIMS, r.EIMC):
            return self.mask
        vector = offset - r.EITR >> 2
        return self.intervals[vector] if 0 <= vector < self.vectors else 0

    def write(self, offset: int, value: int) -> None:
        """Write a register; bits that are no vector's are lost."""
        bits = value & self.all
        if offset == r.EICS:
            self.raise_causes(bits)
        elif offset == r.EIMS:
            fresh = bits & ~self.mask
            self.mask |= bits
            self._signal(fresh & self.cause)
        elif offset == r.EIMC:
            self.mask &= ~bits
        elif offset == r.EIAC:
            self.auto_clear = bits
        elif offset == r.EIAM:
            self.auto_mask = bits
        elif offset == r.EICR:
            self.cause &= ~bits
        elif 0 <= (vector := offset - r.EITR >> 2) < self.vectors:
            self.intervals[vector] = value

    def raise_causes(self, bits: int) -> None:
        """Set causes; those that were not set, and are not masked, send a message."""
        fresh = bits & ~self.cause
        self.cause |= bits
        self._signal(fresh & self.mask)

    def _signal(self, bits: int) -> None:
        if bits and self.msix.enabled:
            for vector in range(self.vectors):
                if bits >> vector & 1:
                    self._send(vector)

    def _send(self, vector: int) -> None:
        """Send a message now, or when it may leave."""
        bit = 1 << vector
        if self._alarms[vector] is not None:
            return
        if self.clock.now < self.ready_at[vector]:
            self._alarms[vector] = self.clock.call_at(self.ready_at[vector], partial(self._again, vector))
            return
        self.ready_at[vector] = self.clock.now + ((self.intervals[vector] & r.INTERVAL_MASK) >> 2) * US
        if self.auto_clear & bit:
            self.cause &= ~bit
        if self.auto_mask & bit:
            self.mask &= ~bit
        self.msix.notify(vector)

    def _again(self, vector: int) -> None:
        """The time is up; is there still something to say?"""
        self._alarms[vector] = None
        if self.cause & self.mask & 1 << vector and self.msix.enabled:
            self._send(vector)

    def timers(self) -> list[tuple[str, Timer | None]]:
        """Return the messages that are to come, as (name, timer) pairs."""
        return [(f"message {vector}", alarm) for vector, alarm in enumerate(self._alarms) if isinstance(alarm, Timer)]

    def save(self) -> State:
        """Return the registers and the MSI-X table, and when messages that wait are to come (ns), None for no message."""
        return INTERRUPTS.state(
            cause=self.cause, mask=self.mask, auto_clear=self.auto_clear, auto_mask=self.auto_mask, intervals=self.intervals,
            ready_at=self.ready_at, msix=self.msix.save(), waiting=[alarm and alarm.when for alarm in self._alarms])

    def restore(self, state: State) -> None:
        """Take back what `save` gave; the clock then gets the `timers`."""
        saved = INTERRUPTS.take(state)
        same_entries("MSI-X", saved["msix"], self.msix.save())
        self.cause, self.mask, self.auto_clear, self.auto_mask = (saved[name] for name in ("cause", "mask", "auto_clear", "auto_mask"))
        self.intervals, self.ready_at = list(saved["intervals"]), list(saved["ready_at"])
        self.msix.restore(saved["msix"])
        self._alarms = [None if when is None else Timer(when, partial(self._again, vector)) for vector, when in enumerate(saved["waiting"])]
