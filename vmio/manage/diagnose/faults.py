"""Faults that can be put into the watched host, each a change of the machine or of a guest, with the cause and the cure in words.

`evidence` are the outputs that tell of it; who names a fault by other evidence has guessed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from vmio.drivers.confidential.swiotlb import MOST, SEGMENT, SLOT
from vmio.drivers.igbvf_start import RX_VECTOR
from vmio.hardware.nic import registers as r
from vmio.hypervisor.halt_poll import MAX_NS
from vmio.manage.diagnose.scene import BATCH, DB, MAIL, SHOP, WEB, WINDOW_NS, Scene, poisson
from vmio.modes import attachment
from vmio.modes.disk_split import SplitDisk

FEWEST_MISSING, MOST_MISSING = 300, 4000      # pages
NOT_AT_ALL = 0.35                             # moderation: below this severity interrupts are not held back, above it too long


@dataclass(frozen=True)
class Fault:
    """One thing that may be wrong; `put_in(scene)` plans it."""

    name: str
    title: str
    guest: str
    cause: str
    cure: str
    evidence: tuple[str, ...]
    put_in: Callable[[Scene], None]


def _second(guest: str, kind: Callable[[], Any], scene: Scene) -> None:
    """From the onset on this guest uses another disk of its, made by `kind()`."""
    scene.second_disk(guest, kind())


def _noisy(scene: Scene) -> None:
    """From the onset on batch reads as fast as 16 to 48 reads of 320 KiB in a ms come."""
    plan, since = scene.plan, scene.onset_ns
    more = poisson(scene.random, WINDOW_NS / (16 + 32 * plan.severity), scene.until_ns - since)
    quiet = [ns for ns in scene.times[BATCH][0] if ns < since]
    scene.times[BATCH] = [quiet + [since + ns for ns in more]]


def _polling(scene: Scene) -> None:
    """From the onset on the host looks for 0.6 to 2 ms before a vCPU sleeps, and never learns: a long halt divides that time by one."""
    ns = 3 * MAX_NS + int(scene.plan.severity * 7 * MAX_NS)

    def stubborn() -> None:
        for guest in scene.guests.values():
            for cpu in guest.guest.vcpus:
                if cpu.poller is not None:
                    cpu.poller.max_ns, cpu.poller.grow_start_ns, cpu.poller.shrink = ns, ns, 1
    scene.at_onset.append(stubborn)


def _memory(scene: Scene) -> None:
    """From the onset on cache's programs want more pages than there are."""
    have = scene.heap_pages
    scene.need[scene.onset_ns] = have + FEWEST_MISSING + int(scene.plan.severity * (MOST_MISSING - FEWEST_MISSING))


def _vf_lost(scene: Scene) -> None:
    scene.at_onset.append(scene.card.take)


def _moderation(scene: Scene) -> None:
    """From the onset on mail's function holds its interrupts back for 0.3 to 2 ms; or, for small severities, not at all."""
    severity = scene.plan.severity
    us = 0 if severity < NOT_AT_ALL else 300 + int(1700 * (severity - NOT_AT_ALL) / (1 - NOT_AT_ALL))

    def set_to(card: Any) -> bool:
        if card.function is None:
            return False
        card.function.write(r.EITR + 4 * RX_VECTOR, us << 2)
        return True
    scene.on_frames = set_to


def _hoard(scene: Scene) -> None:
    """From the onset on another driver of batch's has mapped all of the bounce pool but one segment, or two, and keeps it."""
    left = 2 if scene.plan.severity < 0.3 else 1

    def keep(disk: Any) -> None:
        pool, buffer = disk.client.pool, disk.cpu.guest.ram - SEGMENT * SLOT
        for _ in range(pool.slots // SEGMENT - left):
            pool.map(disk.cpu, buffer, MOST)
    scene.switching[BATCH] = keep


_EMULATED = partial(attachment, "disk", "emulated", transfer="dma")
FAULTS = {fault.name: fault for fault in (
    Fault("small_ring", "a ring that is too small", DB, "the ring of db's channel is full before its burst is in it",
          "a larger ring, or more channels", ("out_full_total", "out_full_first", "intr_in_full"), partial(_second, DB, partial(SplitDisk, ring_kib=8))),
    Fault("signals", "signals that nobody needs", DB, "db's driver signals with each request, whether the host is awake or not",
          "signal only a ring that was empty, as the protocol says", ("events", "intr_out_empty", "hypercalls"),
          partial(_second, DB, partial(SplitDisk, signals="always"))),
    Fault("legacy", "a legacy device is in use", DB, "db reaches its disk through an emulated controller",
          "the driver of the split disk", ("io_exits", "events"), partial(_second, DB, _EMULATED)),
    Fault("one_core", "one vCPU takes all interrupts", WEB, "web's disk has one channel, bound to one of its two vCPUs",
          "a channel for each vCPU", ("interrupts", "channel_vp_mapping"), partial(_second, WEB, partial(SplitDisk, channels=1))),
    Fault("noisy", "a noisy neighbour", BATCH, "batch keeps the disk that all share busy", "a limit, or a policy that is fair",
          ("disk bytes", "disk waiting", "user latency"), _noisy),
    Fault("polling", "halt polling that never learns", "host", "the host looks for milliseconds before it lets a vCPU sleep, however seldom something comes",
          "at most 0.2 ms, and none after a long halt, as is KVM's default", ("halt_poll_success_ns", "halt_poll_fail_ns", "halt_attempted_poll"), _polling),
    Fault("iotlb", "the IOTLB thrashes", SHOP, "shop maps and unmaps each buffer, and the IOTLB is told each time", "map once (static), or invalidate for many (lazy)",
          ("invalidations", "maps"), partial(_second, SHOP, partial(attachment, "disk", "passthrough", iommu="strict"))),
    Fault("memory", "memory pressure", "cache", "cache's programs want more memory than it has, and pages come from its disk",
          "more memory for it", ("memory some", "memory full"), _memory),
    Fault("vf_lost", "the virtual function is gone", MAIL, "the host has taken mail's function away; frames go by the split card",
          "give it back", ("frames by card", "frames by function"), _vf_lost),
    Fault("moderation", "interrupts are moderated wrongly", MAIL, "mail's function waits up to 2 ms before it interrupts, or interrupts for each frame",
          "a time between these, or one that adapts", ("interrupts", "user latency", "frames by function"), _moderation),
    Fault("bounce", "the bounce pool is full", BATCH, "another driver of batch's holds nearly all of the bounce pool, and gives nothing back",
          "mend that driver; a larger pool (swiotlb=) only puts it off", ("bounce slots", "bounce refused", "user latency"), _hoard),
)}


def fault(name: str | None) -> Fault | None:
    """Return the fault of this name; None for None and "none".  ValueError lists those there are."""
    if name in (None, "none"):
        return None
    if name not in FAULTS:
        raise ValueError(f"fault {name!r}: choose one of none, {', '.join(FAULTS)}")
    return FAULTS[name]
