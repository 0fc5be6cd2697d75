"""Which VLANs a port of the switch is in: one, untagged (access), or several, tagged (trunk).

Inside of the switch a frame is untagged, and its VLAN goes beside it.  Source: IEEE 802.1Q-2022, 6.9 and 8.8.
"""

from collections.abc import Iterable

from vmio.machine.net import headers

NONE = 0      # the VLAN of a switch that has none: untagged frames


def _checked(vlan: int) -> int:
    if not NONE <= vlan <= headers.MAX_VLAN:
        raise ValueError(f"vlan {vlan}: 0 (none) to {headers.MAX_VLAN:,}")
    return vlan


class Access:
    """One VLAN.  The station knows nothing of it: a frame that comes with a tag is not let in, whatever VLAN it names."""

    def __init__(self, vlan: int = NONE) -> None:
        self.vlan = _checked(vlan)

    def enter(self, frame: bytes) -> tuple[int, int, bytes] | None:
        """Return (VLAN, priority, untagged frame) of what the station sends; None: it may not."""
        _, tagged, _ = headers.untag(frame)
        return (self.vlan, 0, frame) if tagged is None else None

    def leave(self, vlan: int, priority: int, frame: bytes) -> bytes | None:
        """Return a frame of this VLAN as the station is given it; None: the port is not in it."""
        return frame if vlan == self.vlan else None

    def plan(self) -> list:
        """Return what it was made with, as plain data."""
        return ["access", self.vlan]


class Trunk:
    """Several VLANs, each `allowed` one with its tag; frames without a tag are of the `native` one."""

    def __init__(self, allowed: Iterable[int], native: int = NONE) -> None:
        self.allowed, self.native = frozenset(_checked(vlan) for vlan in allowed), _checked(native)

    def enter(self, frame: bytes) -> tuple[int, int, bytes] | None:
        """As `Access.enter`; a tag of VLAN 0 is a priority alone."""
        inner, vlan, priority = headers.untag(frame)
        if headers.untag(inner)[1] is not None:     # a tag in a tag: the inner one would be another switch's to believe
            return None
        if not vlan:
            return self.native, priority, inner
        return (vlan, priority, inner) if vlan in self.allowed else None

    def leave(self, vlan: int, priority: int, frame: bytes) -> bytes | None:
        """As `Access.leave`."""
        if vlan == self.native:
            return frame
        return headers.tag(frame, vlan, priority) if vlan in self.allowed else None

    def plan(self) -> list:
        """Return what it was made with, as plain data."""
        return ["trunk", self.native, *sorted(self.allowed)]
