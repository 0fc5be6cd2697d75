"""What Performance Monitor shows on a Hyper-V host, under its own names: parts of time in percent, from one sample to the next.

The model's cores are alike and a vCPU is at home on none of them, so there is one instance of the logical processors, `_Total`; the
root partition's processors are the time of the host's workers.  A processor's total is its guest time and its hypervisor time.
Names: learn.microsoft.com, "Detecting bottlenecks in a virtualized environment"; Hyper-V's counter sets.
"""

from vmio.manage.monitor.metrics import Sample

LOGICAL = r"\Hyper-V Hypervisor Logical Processor(_Total)"
ROOT = r"\Hyper-V Hypervisor Root Virtual Processor(_Total)"


def virtual(guest: str, vcpu: str) -> str:
    """Return the path of a vCPU's counters."""
    return rf"\Hyper-V Hypervisor Virtual Processor({guest}:Hv VP {vcpu})"


def counters(now: Sample, last: Sample | None = None) -> dict[str, float]:
    """Return {path: percent} of the time between two samples, or since the clock began; 0 for no time."""
    part = now.since(last)
    found: dict[str, float] = {}
    guests = hypervisor = 0
    for guest in part.labels("vmio_vcpu_seconds_total", "guest"):
        for (name, labels), _ in part.values.items():
            if name == "vmio_vcpu_interrupts_total" and labels[0] == guest:
                ns = {mode: part.values["vmio_vcpu_seconds_total", (*labels, mode)] for mode in ("guest", "hypervisor")}
                path = virtual(*labels)
                found |= {rf"{path}\% Guest Run Time": _percent(ns["guest"], part.ns), rf"{path}\% Hypervisor Run Time": _percent(ns["hypervisor"], part.ns),
                          rf"{path}\% Total Run Time": _percent(sum(ns.values()), part.ns)}
                guests, hypervisor = guests + ns["guest"], hypervisor + ns["hypervisor"]
    cores, root = part.get("vmio_host_cores"), part.get("vmio_host_worker_seconds_total")
    total = _percent(guests + hypervisor + root, part.ns * cores)
    return {rf"{LOGICAL}\% Guest Run Time": _percent(guests + root, part.ns * cores),
            rf"{LOGICAL}\% Hypervisor Run Time": _percent(hypervisor, part.ns * cores), rf"{LOGICAL}\% Total Run Time": total,
            rf"{LOGICAL}\% Idle Run Time": max(100 - total, 0.0), rf"{ROOT}\% Total Run Time": _percent(root, part.ns * cores), **found}


def _percent(ns: int, of: int) -> float:
    return 100 * ns / of if of else 0.0
