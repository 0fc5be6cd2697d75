"""When to stop the guest: three rules that are in use.

    QEMU       when what remains takes no longer than the downtime limit, 300 ms (QEMU 7.2, migration/migration.c,
               migration_iteration_run, MAX_MIGRATE_DOWNTIME): it never gives up, and may never end
    Xen        after 29 further rounds, when 3 times the memory was sent, or when few pages are left (Xen 4.1,
               tools/libxc/xc_domain_save.c, max_iters and max_factor; Clark et al., NSDI 2005, section 4)
    Hyper-V    after 10 passes (Directions on Microsoft, "Hyper-V Live Migration", 2009), or when few pages are left;
               how few is not published, and taken from Xen
"""

from dataclasses import dataclass
from typing import Protocol

from vmio.machine.memory import PAGE

FEW_PAGES = 50        # Xen 4.1, tools/libxc/xc_domain_save.c: "sent_this_iter + skip_this_iter < 50"
MS_PER_S = 1000


@dataclass(frozen=True)
class Progress:
    """What a rule may look at, when the dirty log has just been read."""

    rounds: int           # that are over
    remaining: int        # bytes of pages that are to be sent
    sent: int             # bytes of pages so far
    memory: int           # bytes of the guests' RAM
    bandwidth: int        # bytes a second


class Rule(Protocol):
    """One of the rules."""

    def __hash__(self) -> int:
        """Return the same number for rules that are equal: a prediction is kept by its rule."""

    def enough(self, bandwidth: int) -> int:
        """Return how many bytes may remain of a round when the log is read again."""

    def stop(self, progress: Progress) -> str | None:
        """Return why the guest is stopped now, or None."""


@dataclass(frozen=True)
class Qemu:
    """Stop when the rest fits into `limit_ms`."""

    limit_ms: int = 300

    def enough(self, bandwidth: int) -> int:
        """See `Rule`."""
        return bandwidth * self.limit_ms // MS_PER_S

    def stop(self, progress: Progress) -> str | None:
        """See `Rule`."""
        return "the rest fits into the downtime limit" if progress.remaining <= self.enough(progress.bandwidth) else None


@dataclass(frozen=True)
class Rounds:
    """Stop after so many `rounds`, when `factor` times the memory was sent, or when few pages are left: Xen's, and Hyper-V's."""

    rounds: int
    factor: int | None = None

    def enough(self, bandwidth: int) -> int:
        """See `Rule`: each round is sent to its end."""
        return 0

    def stop(self, progress: Progress) -> str | None:
        """See `Rule`."""
        if progress.remaining < FEW_PAGES * PAGE:
            return "few pages are left"
        if progress.rounds >= self.rounds:
            return f"{self.rounds} rounds are enough"
        if self.factor is not None and progress.sent > self.factor * progress.memory:
            return f"{self.factor} times the memory was sent"
        return None


RULES = ("qemu", "xen", "hyper-v")


def rule(name: str, limit_ms: int = 300) -> Rule:
    """Return a rule by its name; `limit_ms` is QEMU's downtime limit.  ValueError for a name that is none."""
    if name == "qemu":
        return Qemu(limit_ms)
    if name == "xen":
        return Rounds(1 + 29, 3)
    if name == "hyper-v":
        return Rounds(10)
    raise ValueError(f"stop rule {name!r}: choose one of {', '.join(RULES)}")


class Throttle:
    """QEMU's auto-converge: when more than half of what was sent is dirty again, twice in a row, vCPUs get less time.

    20 % less at first, each further time 10 %, up to 99 % (QEMU 7.2, migration/ram.c, mig_throttle_guest_down;
    migration.c, DEFAULT_MIGRATE_CPU_THROTTLE_INITIAL and _INCREMENT, DEFAULT_MIGRATE_MAX_CPU_THROTTLE).  ValueError for limits that
    contradict each other.
    """

    def __init__(self, initial: int = 20, increment: int = 10, most: int = 99) -> None:
        if not 1 <= initial <= most <= 99:
            raise ValueError(f"throttle: initial {initial} %, at most {most} %; 1 to 99, and the first not above the last")
        if increment < 1:
            raise ValueError(f"throttle: increment {increment} %; at least 1")
        self.initial, self.increment, self.most = initial, increment, most
        self.percent = 0
        self._high = 0

    def heed(self, dirtied: int, sent: int) -> None:
        """Hear of a round: `dirtied` bytes while `sent` bytes went."""
        if dirtied * 2 <= sent:
            return                     # QEMU keeps its count then, as it keeps the throttle
        self._high += 1
        if self._high >= 2:
            self._high = 0
            self.percent = min(self.percent + self.increment, self.most) if self.percent else self.initial
