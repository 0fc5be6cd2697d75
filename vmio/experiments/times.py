"""Where a guest's virtual time went, from spans that running code has noted: (from, until) in ns."""

from collections.abc import Sequence

PARTS = ("guest", "exit", "copy", "device", "waiting")


def union(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same time as spans that don't meet, in order."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        elif start < end:
            joined.append((start, end))
    return joined


def common(spans: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what lies in both, as such a list; both are what `union` gives."""
    both: list[tuple[int, int]] = []
    at = 0
    for start, end in spans:
        while at < len(others) and others[at][1] <= start:
            at += 1
        after = at
        while after < len(others) and others[after][0] < end:
            low, high = others[after]
            both.append((max(start, low), min(end, high)))
            after += 1
    return both


def length(spans: Sequence[tuple[int, int]]) -> int:
    """Sum in ns."""
    return sum(end - start for start, end in spans)


def parts(total: int, guest: int, exits: int, copied: int, sleeps: Sequence[tuple[int, int]], device: Sequence[tuple[int, int]],
          copies: Sequence[tuple[int, int]]) -> dict[str, int]:
    """{part: ns} of a guest's `total` ns; each ns is in one part.

    `guest` ns it computed; `exits` ns of exits, `copied` of them moving data.  While it
    slept, time belongs to the device if that had a request of this guest; else to the
    emulator's copying; else it waited: for a worker of the host or a core, or to be woken.
    """
    asleep = union(sleeps)
    device_ns = length(common(asleep, union(device)))
    copy_ns = length(common(asleep, union([*device, *copies]))) - device_ns
    known = {"guest": guest, "exit": exits - copied, "copy": copied + copy_ns, "device": device_ns}
    return {**known, "waiting": total - sum(known.values())}
