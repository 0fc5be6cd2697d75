"""Has mail a virtual function?  Given when many frames come, asked back when few do: two thresholds, so that it does not go to and fro.

A guest that brings a function up answers nobody for a while, so few frames in one window say nothing yet.
"""

from vmio.manage.diagnose.scene import Scene
from vmio.manage.monitor.metrics import Sample
from vmio.manage.steer.guard import Bounds
from vmio.manage.steer.loops.closed import Loop

GIVE, TAKE, ONE = 6, 2, 10         # frames in a window: from here on it is given, below here asked back; the only threshold of the bad one
QUIET = 4                          # windows in a row with few frames, before it is asked back


def frames(window: Sample) -> int:
    """Return the frames that guests with a card for a function have sent, by either way."""
    return window.get("vmio_net_way_frames_total")


def percent(window: Sample) -> float:
    """Return how many percent of them did not go by the function; 100 if nobody was answered."""
    sent = frames(window)
    return 100 - 100 * window.get("vmio_net_way_frames_total", way="function") / sent if sent else 100.0


def act(scene: Scene, setting: float) -> bool:
    """Give the function, or ask for it; False while the guest has not let go of the last one."""
    if not setting:
        scene.card.ask_back()
    elif read(scene):
        return False
    else:
        scene.card.give()
    return True


def read(scene: Scene) -> float:
    """Return 1 if mail has the function, 0 if not."""
    lent = scene.card.lent
    return float(lent is not None and not lent.ended)


class TwoThresholds:
    """1 for many frames, 0 for few in several windows in a row; in between nothing is done."""

    def __init__(self) -> None:
        self.quiet = 0

    def __call__(self, setting: float, seen: int, target: float) -> float:
        """Return how many functions mail is to have."""
        self.quiet = self.quiet + 1 if seen < TAKE else 0
        return 1 if seen >= GIVE else 0 if self.quiet >= QUIET else setting


def one_threshold(setting: float, seen: int, target: float) -> float:
    """Return 1 above it, 0 below.  The bad one."""
    return 1 if seen >= ONE else 0


LOOP = Loop("function", "vf_lost", "percent of mail's frames that do not go by the function", percent, 50, frames,
            Bounds("what mail has", "VF", 0, 1, 1), 1, act, read, "two thresholds", TwoThresholds, lambda: one_threshold)
