"""The upper half of the 21143's CSR11: interrupts for received and for sent frames are held back, so that there are fewer of them.

Each direction has a number of frames and a time.  The interrupt's bit is set when so many frames are done, or when none has
followed for so long: each frame begins the time anew.  A number or a time of 0 is no limit; with both 0 nothing is held back.
While the bit is set frames aren't counted: whoever looks at the ring then finds them all.
Sources: Linux, drivers/net/ethernet/dec/tulip/interrupt.c (mit_table: the fields); the source of Actel's Core10/100, a core with
this chip's registers (csr.v, "interrupt mitigation control": when number and time begin anew).
"""

from collections.abc import Callable

from vmio.devices.net.tulip import bits as b
from vmio.machine.checkpoint import Form, State
from vmio.machine.contracts import Pending, Timers

HELD = Form("Tulip interrupt that is held back", 1, "pending", "left", "due")
MODERATION = Form("Tulip interrupt moderation", 1, "value", "unit", "unset", "receive", "transmit")
SHORT, LONG = 128, 2048             # cycles of the wire's clock that a time is counted in: with CS, and without
TX_UNITS = 16                       # of these in one of the transmit time


class Held:
    """One direction: `event()` sets the bit, `is_set()` says whether it is set.  `frames` and `hold_ns` are the limits."""

    def __init__(self, clock: Timers, event: Callable[[], None], is_set: Callable[[], bool]) -> None:
        self.clock, self.event, self.is_set = clock, event, is_set
        self.frames = self.hold_ns = self.left = 0       # `left`: so many more frames are waited for
        self.pending = False                             # a frame is done that nobody was told of
        self.timer: Pending | None = None

    @property
    def limited(self) -> bool:
        """Whether it holds anything back."""
        return bool(self.frames or self.hold_ns)

    def limit(self, frames: int, hold_ns: int) -> None:
        """Change the limits, and count from now on; a time that runs, runs on."""
        self.frames, self.hold_ns, self.left = frames, hold_ns, frames
        if not hold_ns:
            self._stop()
        if self.pending and (not frames if not hold_ns else self.timer is None):
            self._end()

    def frame(self, at_once: bool = False) -> None:
        """A frame is done: set the bit now, or wait for more."""
        if self.is_set():
            return
        self.pending, self.left = True, max(self.left - 1, 0)
        self._stop()
        if at_once or not self.limited or self.frames and not self.left:
            self._end()
        elif self.hold_ns:
            self.timer = self.clock.call_at(self.clock.now + self.hold_ns, self._end)

    def reset(self) -> None:
        """Nothing waits, and the count begins anew."""
        self._stop()
        self.pending, self.left = False, self.frames

    def _end(self) -> None:
        self.reset()
        self.event()

    def _stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def units_left(self, unit_ns: int) -> int:
        """Return how many units of its time are left, a begun one too."""
        return -(-(self.hold_ns if self.timer is None else self.timer.when - self.clock.now) // unit_ns)

    def save(self) -> State:
        """Return what waits, and until when."""
        return HELD.state(pending=self.pending, left=self.left, due=self.timer and self.timer.when)

    def restore(self, state: State) -> None:
        """Take back what `save` gave; the limits are set already."""
        saved = HELD.take(state)
        self.reset()
        self.pending, self.left = saved["pending"], saved["left"]
        if saved["due"] is not None:
            self.timer = self.clock.call_at(saved["due"], self._end)


class Moderation:
    """Both directions.  After a reset nothing is held back until the register is written, whatever it reads as."""

    def __init__(self, receive: Held, transmit: Held) -> None:
        self.receive, self.transmit = receive, transmit
        self.reset(0)

    def reset(self, shows: int) -> None:
        """Hold nothing back; CSR11 reads as it `shows` until it is written."""
        self._limit(0, 1)
        self._unset: int | None = shows & ~b.TIMER_BITS
        self.receive.reset()
        self.transmit.reset()

    def write(self, value: int, cycle_ns: int) -> None:
        """CSR11 is written, while a cycle of the wire's clock takes `cycle_ns`."""
        self._unset = None
        self._limit(value, cycle_ns * (SHORT if value & b.CYCLE_SHORT else LONG))

    def _limit(self, value: int, unit_ns: int) -> None:
        self.value, self.unit_ns = value, unit_ns
        self.receive.limit(value >> b.RX_FRAMES & 7, (value >> b.RX_TIME & 15) * unit_ns)
        self.transmit.limit(value >> b.TX_FRAMES & 7, (value >> b.TX_TIME & 15) * TX_UNITS * unit_ns)

    def read(self) -> int:
        """Return these bits of CSR11: what is left of each number and time."""
        if self._unset is not None:
            return self._unset
        receive, transmit = self.receive, self.transmit
        return (self.value & b.CYCLE_SHORT | transmit.units_left(TX_UNITS * self.unit_ns) << b.TX_TIME | transmit.left << b.TX_FRAMES
                | receive.units_left(self.unit_ns) << b.RX_TIME | receive.left << b.RX_FRAMES)

    def timers(self) -> list[tuple[str, Pending | None]]:
        """Return what is on the clock."""
        return [("receive moderation", self.receive.timer), ("transmit moderation", self.transmit.timer)]

    def save(self) -> State:
        """Return the limits, and what waits."""
        return MODERATION.state(value=self.value, unit=self.unit_ns, unset=self._unset, receive=self.receive.save(), transmit=self.transmit.save())

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        saved = MODERATION.take(state)
        self.reset(0)
        self._limit(saved["value"], saved["unit"])
        self._unset = saved["unset"]
        self.receive.restore(saved["receive"])
        self.transmit.restore(saved["transmit"])
