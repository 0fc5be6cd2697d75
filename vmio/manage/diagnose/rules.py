"""The rules: which number tells of which fault, and from where on.  They see what an administrator sees, and nothing else.

Each rule reads one number out of each window and asks a detector.  Where a limit is known - no signal without a reason, no full ring -
it is a threshold; where only a change can be seen - requests take longer than they did - a detector of changes learns what is usual.
A change alone would not say who caused it, so those rules also need a sign of the cause.

The limits of `RULES` are our own: nobody has published any for these counters.  Those that Microsoft has published are `PUBLISHED`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from vmio.manage.diagnose.detectors import CHANGE, Detector, Threshold
from vmio.manage.monitor.metrics import SECONDS, Sample

FORCED, ONE_SIDED, LOOKED, STALLED, GREEDY = 0.2, 0.95, 0.7, 0.15, 0.8
FEW = 6                # events of a window from which a share of them says something


class Finding(NamedTuple):
    """A rule has fired, in the window of this number: what it read."""

    window: int
    fault: str
    what: str
    number: float


class Rule(NamedTuple):
    """`read(window)` is the number; with `limit` it is compared, without one a detector of changes looks; `sign(window)` must be there, too."""

    fault: str
    what: str
    read: Callable[[Sample], float]
    limit: float | None = None
    times: int = 1
    sign: Callable[[Sample], bool] | None = None


def _channel(window: Sample, name: str, guest: str) -> int:
    return window.get(f"vmio_channel_{name}_total", guest=guest)


def _guests(window: Sample) -> list[str]:
    return window.labels("vmio_vcpu_interrupts_total", "guest")


def full_writes(window: Sample) -> float:
    """Return how many writes met a full ring."""
    return window.get("vmio_channel_out_full_total")


def forced_part(window: Sample) -> float:
    """Return which part of a guest's signals had no reason, of the guest where it is largest."""
    parts = [0.0]
    for guest in _guests(window):
        events = _channel(window, "events", guest)
        if events >= FEW:
            parts.append((events - _channel(window, "intr_out_empty", guest) - _channel(window, "intr_in_full", guest)) / events)
    return max(parts)


def port_exits(window: Sample) -> float:
    """Return the exits of port I/O: no enlightened guest makes one when it is up."""
    return window.get("vmio_exits_total", reason="IO_INSTRUCTION")


def one_sided(window: Sample) -> float:
    """Return which part of a guest's channel interrupts goes to one vCPU, of guests with several; 0 for too few."""
    parts = [0.0]
    for guest in _guests(window):
        if sum(name == "vmio_vcpu_interrupts_total" and labels[0] == guest for name, labels in window.values) < 2:
            continue
        taken: dict[int, int] = {}
        for (name, labels), vcpu in window.values.items():
            if name == "vmio_channel_vcpu" and labels[0] == guest:
                taken[vcpu] = taken.get(vcpu, 0) + window.values["vmio_channel_interrupts_total", labels]
        if (total := sum(taken.values())) >= FEW // 2:
            parts.append(max(taken.values()) / total)
    return max(parts)


def looked(window: Sample) -> float:
    """Return which part of all vCPUs' time the host only looked whether something comes."""
    vcpus = sum(name == "vmio_vcpu_interrupts_total" for name, _ in window.values)
    return window.get("vmio_halt_poll_seconds_total") / (window.ns * vcpus) if window.ns and vcpus else 0.0


def invalidations(window: Sample) -> float:
    """Return how often an IOTLB was told to forget."""
    return window.get("vmio_iommu_events_total", event="invalidations")


def stalled(window: Sample) -> float:
    """Return which part of the time some of a guest's requests waited for memory."""
    return window.get("vmio_pressure_waiting_seconds_total", who="some") / window.ns if window.ns else 0.0


def by_card(window: Sample) -> float:
    """Return which part of the frames of a guest with a function went by the card."""
    card, function = (window.get("vmio_net_way_frames_total", way=way) for way in ("card", "function"))
    return card / (card + function) if card + function >= 2 else 0.0


def greedy(window: Sample) -> str | None:
    """Return the guest that moved nearly all bytes of the shared disk; None if nobody did."""
    moved = {labels[0]: value for (name, labels), value in window.values.items() if name == "vmio_disk_bytes_total"}
    total = sum(moved.values())
    return next((guest for guest, value in moved.items() if value >= GREEDY * total > 0), None)


def disk_us(window: Sample) -> float:
    """Return how long the host's disk took for a short request on average, in us: of all guests but a greedy one."""
    loud = greedy(window)
    each = [(histogram.total_ns, histogram.count) for (name, labels), histogram in window.histograms.items()
            if name == "vmio_disk_request_seconds" and labels[0] != loud]
    count = sum(number for _, number in each)
    return sum(ns for ns, _ in each) / count / 1000 if count else 0.0


def frame_us(window: Sample) -> float:
    """Return how long answers to frames took on average, in us, of guests with a function."""
    who = set(window.labels("vmio_net_way_frames_total", "guest"))
    each = [histogram for (name, labels), histogram in window.histograms.items() if name == "vmio_user_request_seconds" and labels[0] in who]
    count = sum(one.count for one in each)
    return sum(one.total_ns for one in each) / count / 1000 if count else 0.0


def interrupts_per_frame(window: Sample) -> float:
    """Return how often a guest with a function is interrupted for each frame that it answers; 0 for too few frames."""
    who = window.labels("vmio_net_way_frames_total", "guest")
    frames = window.get("vmio_net_way_frames_total", way="function")
    return sum(window.get("vmio_vcpu_interrupts_total", guest=guest) for guest in who) / frames if frames >= FEW // 2 else 0.0


def bounce_refused(window: Sample) -> float:
    """Return how many mappings found no room in a bounce pool."""
    return window.get("vmio_bounce_refused_total")


def _by_function(window: Sample) -> bool:
    return by_card(window) < 0.5


RULES = (
    Rule("small_ring", "writes that met a full ring", full_writes, 1),
    Rule("signals", "part of the signals without a reason", forced_part, FORCED),
    Rule("legacy", "exits of port I/O", port_exits, FEW),
    Rule("one_core", "part of the interrupts that one vCPU takes", one_sided, ONE_SIDED, times=2),
    Rule("polling", "part of the time that the host only looked", looked, LOOKED, times=2),
    Rule("iotlb", "invalidations", invalidations, FEW // 2),
    Rule("memory", "part of the time that somebody waited for memory", stalled, STALLED),
    Rule("vf_lost", "part of the frames by the card", by_card, 0.5),
    Rule("noisy", "us of the others' requests at the disk", disk_us, sign=lambda window: greedy(window) is not None),
    Rule("moderation", "us until a frame is answered", frame_us, sign=_by_function),
    Rule("moderation", "interrupts for each frame", interrupts_per_frame, sign=_by_function),
    Rule("bounce", "mappings that found no room in the bounce pool", bounce_refused, 1),
)


class Diagnosis:
    """Asks all rules, window after window; `detector` is the one for changes, "cusum" or "ewma"."""

    def __init__(self, detector: str = "cusum", rules: Iterable[Rule] = RULES) -> None:
        if detector not in CHANGE:
            raise ValueError(f"detector {detector!r}: choose one of {', '.join(CHANGE)}")
        self._asked: list[tuple[Rule, Detector]] = [
            (rule, CHANGE[detector]() if rule.limit is None else Threshold(rule.limit, rule.times)) for rule in rules]
        self.findings: list[Finding] = []
        self._windows = 0

    def step(self, window: Sample) -> list[Finding]:
        """Take the next window; returns what was found in it."""
        found = []
        for rule, detector in self._asked:
            number = rule.read(window)
            if detector.step(number) and (rule.sign is None or rule.sign(window)):
                found.append(Finding(self._windows, rule.fault, rule.what, number))
        self._windows += 1
        self.findings += found
        return found

    @property
    def verdict(self) -> str | None:
        """What was found in most windows, the first of equals; None if nothing was."""
        counts: dict[str, int] = {}
        for finding in self.findings:
            counts[finding.fault] = counts.get(finding.fault, 0) + 1
        return max(counts, key=lambda fault: counts[fault]) if counts else None


def diagnose(windows: Sequence[Sample], detector: str = "cusum") -> Diagnosis:
    """Return the diagnosis of a whole run."""
    diagnosis = Diagnosis(detector)
    for window in windows:
        diagnosis.step(window)
    return diagnosis


class Published(NamedTuple):
    """One of Microsoft's thresholds: a counter that is above `percent`, or a time that is above `ms`, and what to do about it."""

    what: str
    limit: float
    advice: str


PUBLISHED = (
    Published("Logical Processor % Total Run Time", 90, "the host is overloaded: fewer guests, or more cores"),
    Published("Virtual Processor % Total Run Time, all of a guest", 90, "add virtual processors to it"),
    Published("Virtual Processor % Total Run Time, some of a guest", 90, "spread its interrupts: vRSS for a network card, more disks for storage"),
    Published("Root Virtual Processor % Total Run Time", 90, "spread the host's interrupts: VMQ"),
    Published("disk latency in ms", 50, "spread the load, take faster disks, or limit guests (Storage QoS)"),
)


def published(window: Sample) -> list[tuple[Published, str, float]]:
    """Return (threshold, who, value) of all of Microsoft's thresholds that a window is above.

    Source: learn.microsoft.com, "Detecting bottlenecks in a virtualized environment"; its network rows need a link's capacity, which no
    switch of the model has.
    """
    logical, every, some, root, slow = PUBLISHED
    found = []
    cores, workers = window.get("vmio_host_cores"), window.get("vmio_host_worker_seconds_total")
    whole = window.ns or 1
    for guest in _guests(window):
        busy = [100 * sum(window.values["vmio_vcpu_seconds_total", (*labels, mode)] for mode in ("guest", "hypervisor")) / whole
                for (name, labels), _ in window.values.items() if name == "vmio_vcpu_interrupts_total" and labels[0] == guest]
        if min(busy) > every.limit:
            found.append((every, guest, min(busy)))
        elif max(busy) > some.limit:
            found.append((some, guest, max(busy)))
    vcpus = sum(value for (name, labels), value in window.values.items() if name == "vmio_vcpu_seconds_total" and labels[2] != "idle")
    for rule, value in ((logical, 100 * (vcpus + workers) / (whole * cores)), (root, 100 * workers / (whole * cores))):
        if value > rule.limit:
            found.append((rule, "host", value))
    for (name, labels), histogram in window.histograms.items():
        if name == "vmio_disk_request_seconds" and histogram.count and (ms := histogram.total_ns / histogram.count * 1000 / SECONDS) > slow.limit:
            found.append((slow, labels[0], ms))
    return found
