"""Kinds of host, and what each does by default that shows in a guest's exits.

`backing` says when a guest's RAM gets pages of the host's:

    demand  a page at its first touch, which is an EPT violation (KVM: Documentation/virt/kvm/x86/mmu.rst)
    start   all of it before the guest runs; its first touch is nothing special
    pinned  the same, and none of it can be taken away meanwhile

`tick_hz` is the host's own periodic timer: each tick that finds a vCPU in the guest stops it.
"""

from typing import NamedTuple

BACKINGS = DEMAND, START, PINNED = "demand", "start", "pinned"
MAX_TICKS = 10_000   # Hz


class Kind(NamedTuple):
    """Defaults of one kind of host."""

    backing: str
    tick_hz: int


KINDS = {
    # An ordinary virtual machine's RAM is committed when it starts.  No figure of a tick is published.
    "hyper-v": Kind(START, 0),
    # Those that isolate containers: microsoft/hcsshim, pkg/annotations: AllowOvercommit is true unless said otherwise.
    "hyper-v-containers": Kind(DEMAND, 0),
    # Linux, kernel/Kconfig.hz: HZ_250 is the default; a processor that runs somebody ticks (Documentation/timers/no_hz.rst).
    "kvm": Kind(DEMAND, 250),
}


def kind_of_host(kind: str, backing: str | None, tick_hz: int | None) -> Kind:
    """Return what is said, and for None what this kind has; ValueError names the property, its value and what is allowed."""
    if kind not in KINDS:
        raise ValueError(f"host: kind {kind!r}; choose one of {', '.join(KINDS)}")
    usual = KINDS[kind]
    chosen = Kind(usual.backing if backing is None else backing, usual.tick_hz if tick_hz is None else tick_hz)
    if chosen.backing not in BACKINGS:
        raise ValueError(f"host: backing {backing!r}; choose one of {', '.join(BACKINGS)}")
    if not isinstance(chosen.tick_hz, int) or isinstance(chosen.tick_hz, bool) or not 0 <= chosen.tick_hz <= MAX_TICKS:
        raise ValueError(f"host: tick_hz {tick_hz!r}; whole, 0 (none) to {MAX_TICKS:,}")
    return chosen
