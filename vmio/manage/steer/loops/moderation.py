"""How long mail's function holds its interrupts back: Linux's dynamic interrupt moderation, a climb (`vmio/drivers/dim.py`).

As in Linux 64 interrupts are looked at for each decision; here they come out of the monitor's counters, so it is made at the end of a window.
"""

from typing import Any, NamedTuple

from vmio.drivers.dim import INTERRUPTS, Dim, Rates
from vmio.drivers.igbvf_start import RX_VECTOR, SLOWEST
from vmio.hardware.nic import registers as r
from vmio.manage.diagnose.rules import frame_us
from vmio.manage.diagnose.scene import Scene
from vmio.manage.monitor.metrics import Sample
from vmio.manage.steer.guard import Bounds
from vmio.manage.steer.loops.closed import Loop

MS = 1_000_000
USUAL_US = SLOWEST >> 2                # what the driver begins with
MOST_US = 2_000


class Traffic(NamedTuple):
    """What a window brought to guests with a function: its length, frames and their bytes, interrupts."""

    ns: int
    packets: int
    bytes: int
    interrupts: int

    def rates(self) -> Rates:
        """Return all three in a ms, rounded up."""
        return Rates(*(-(-count * MS // self.ns) for count in self[1:]))


NONE = Traffic(0, 0, 0, 0)


def traffic(window: Sample) -> Traffic:
    """Return it, out of the monitor's counters."""
    who = window.labels("vmio_net_way_frames_total", "guest")
    return Traffic(window.ns, window.get("vmio_net_way_frames_total", way="function"), window.get("vmio_net_way_bytes_total", way="function"),
                   sum(window.get("vmio_vcpu_interrupts_total", guest=guest) for guest in who))


class Climb:
    """A controller: the time of the level to which the climb has come.  After a change a window passes that is not counted."""

    def __init__(self) -> None:
        self.dim = Dim()
        self._seen, self._changed = NONE, False

    def __call__(self, setting: float, seen: Traffic, target: float) -> float:
        """Return the time in us."""
        if not self._changed:
            self._seen = Traffic(*map(sum, zip(self._seen, seen)))
        self._changed = False
        if self._seen.interrupts >= INTERRUPTS:
            self._changed = self.dim.decide(self._seen.rates())
            self._seen = NONE
        return self.dim.us


def act(scene: Scene, setting: float) -> bool:
    """Ask mail's administrator for that time; it is set when the guest next looks at its card."""
    def order(card: Any) -> None:
        if card.function is not None:
            card.function.write(r.EITR + 4 * RX_VECTOR, int(setting) << 2)
    scene.net.orders.append(order)
    return True


def read(scene: Scene) -> float:
    """Return the time in us that is in the function's register."""
    return float((scene.card.nic.card.functions[0].interrupts.intervals[RX_VECTOR] & r.INTERVAL_MASK) >> 2)


def flip(setting: float, seen: Traffic, target: float) -> float:
    """Return the other end, whatever is seen.  The bad one."""
    return 0 if setting else MOST_US


LOOP = Loop("moderation", "moderation", "us until a frame is answered", frame_us, 200, traffic,
            Bounds("EITR", "us", 0, MOST_US, USUAL_US), USUAL_US, act, read, "hill climb (DIM)", Climb, lambda: flip)
