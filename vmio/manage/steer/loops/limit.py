"""A limit for batch, so that the others' requests are served in time: additive increase, multiplicative decrease."""

from vmio.manage.diagnose.scene import BATCH, Scene
from vmio.manage.monitor.metrics import Sample
from vmio.manage.steer.controllers import LEAST, START, aimd
from vmio.manage.steer.guard import Bounds
from vmio.manage.steer.loops.closed import Loop

MB = 1_000_000
MOST = 6_000              # MB/s: no disk of ours gives more, so it is no limit


def others_us(window: Sample) -> float:
    """Return how long requests of all guests but batch took at the host on average, in us; 0 for none."""
    found = [each for (name, labels), each in window.histograms.items() if name == "vmio_disk_request_seconds" and labels[0] != BATCH]
    count = sum(each.count for each in found)
    return sum(each.total_ns for each in found) / count / 1000 if count else 0.0


def act(scene: Scene, setting: float) -> bool:
    """Let batch have so many MB/s of the disk that all share."""
    scene.machine.share(scene.guests[BATCH], cap=int(setting * MB), burst_ns=0)
    return True


def all_or_nothing(setting: float, seen: float, target: float) -> float:
    """Return the most, or the least above the target.  The bad one."""
    return LEAST if seen > target else MOST


LOOP = Loop("limit", "noisy", "us that requests of the others take at the host", others_us, 110, others_us,
            Bounds("batch's limit", "MB/s", LEAST, MOST, START), MOST, act, None, "AIMD", lambda: aimd, lambda: all_or_nothing)
