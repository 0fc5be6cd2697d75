"""How long the host looks before it lets a vCPU sleep, so that this takes no more than a part of all vCPUs' time: in proportion.

What is set is KVM's `halt_poll_ns`, the most that any vCPU's own halt polling may grow to; below it each goes on to adapt by itself.
"""

from vmio.hypervisor.halt_poll import MAX_NS
from vmio.manage.diagnose.rules import looked
from vmio.manage.diagnose.scene import WEB, Scene
from vmio.manage.monitor.metrics import Sample
from vmio.manage.steer.guard import Bounds
from vmio.manage.steer.loops.closed import Loop

LEAST_NS, MOST_NS = 10_000, 2_000_000
AIM = 0.85                     # of the target: so much below it is aimed at


def percent(window: Sample) -> float:
    """Return which part of all vCPUs' time the host only looked, in percent."""
    return 100 * looked(window)


def act(scene: Scene, setting: float) -> bool:
    """Set the most that the host looks, in ns, for each vCPU."""
    for guest in scene.guests.values():
        for cpu in guest.guest.vcpus:
            if cpu.poller is not None:
                cpu.poller.max_ns = int(setting)
    return True


def read(scene: Scene) -> float:
    """Return what is set, in ns: of the first vCPU, as all have the same."""
    poller = scene.guests[WEB].cpu.poller
    return 0.0 if poller is None else float(poller.max_ns)


def in_proportion(setting: float, seen: float, target: float) -> float:
    """Return what would bring it to 85 percent of the target if the one grew as the other; within a tenth of that nothing is done."""
    wanted = AIM * target / max(seen, 1.0)
    return int(setting * min(max(wanted, 0.5), 2.0)) if abs(wanted - 1) > 0.1 else setting


def all_or_nothing(setting: float, seen: float, target: float) -> float:
    """Return the most, or the least above the target.  The bad one."""
    return LEAST_NS if seen > target else MOST_NS


LOOP = Loop("polling", "polling", "percent of the time that the host only looked", percent, 60, percent,
            Bounds("halt_poll_ns", "ns", LEAST_NS, MOST_NS, MAX_NS), MAX_NS, act, read, "in proportion", lambda: in_proportion, lambda: all_or_nothing)
