"""A port of the virtual switch: what it lets in, what it lets out, and what it has counted.  See `switch.py` for the order."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from vmio.host.net.pace import Pace
from vmio.host.net.rules import IN, OUT, Rule, is_router, is_server, passes
from vmio.host.net.vlan import Access, Trunk
from vmio.hypervisor.pending import Restoring, Saving
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.net import frames
from vmio.machine.net.contracts import Station

SOURCE, DESTINATION = MIRRORS = ("source", "destination")
PORT = Form("switch port", 1, "plan", "up", "sent", "got", "dropped", "rules", "pace")
# Why a frame goes no further
NO_LINK, VLAN, SPOOFED, GUARD, ACL, LIMIT, NO_PLACE = REASONS = (
    "no link", "VLAN", "spoofed", "guard", "access list", "limit", "no place")


class SwitchPort:
    """A `NetPort` named `name`.  `sent` and `got` are [frames, bytes] from its station and to it, `dropped` counts by reason.

    `address` is the station's own (None: it may have any, as behind the physical port); with `spoofing` it may use others.
    `may_send` is the rule for that, (frame) -> bool, and can be set.  `limit` in Mbit/s is for what the station sends.  `mirror`: a "source" shows all its frames to each "destination".
    """

    def __init__(self, switch: Any, name: str, address: bytes | None = None, vlan: Access | Trunk | None = None,
                 spoofing: bool = False, rules: Sequence[Rule] = (), dhcp_guard: bool = False, router_guard: bool = False,
                 mirror: str | None = None, limit: int | None = None, queue: int = 256) -> None:
        if mirror is not None and mirror not in MIRRORS:
            raise ValueError(f"mirror {mirror!r}: choose one of {', '.join(MIRRORS)}")
        self.switch, self.name = switch, name
        self.address = None if address is None else frames.station_address(address)
        self.vlan, self.rules, self.mirror = vlan or Access(), list(rules), mirror
        self.spoofing = spoofing or address is None
        self.may_send: Callable[[bytes], bool] = self._may_send
        self.dhcp_guard, self.router_guard = dhcp_guard, router_guard
        self.pace = None if limit is None else Pace(switch.env, limit, self._enter, queue)
        self.up = True
        self.station: Station | None = None
        self.sent, self.got = [0, 0], [0, 0]
        self.dropped: Counter[str] = Counter()

    # The station's side.

    def connect(self, station: Station | None) -> None:
        """See `NetPort`; what was learned of a station that goes is forgotten."""
        if station is not None and self.station is not None and station is not self.station:
            raise ValueError(f"port {self.name}: {type(self.station).__name__} is plugged in; only one station is at a port")
        if station is None:
            self.switch.table.forget(self.name)
        self.station = station

    def link(self, up: bool) -> None:
        """Bring the link up or down; the station is told, if it has changed."""
        if up != self.up:
            self.up = up
            self.switch.table.forget(self.name)
            if self.station is not None:
                self.station.link_changed(up)

    def send(self, frame: bytes) -> bool:
        """See `NetPort`: False for a frame that this port does not let in, or that nobody has taken."""
        frames.check(frame)
        if not self.up:
            return self._drop(NO_LINK)
        entered = self.vlan.enter(frame)
        if entered is None:
            return self._drop(VLAN)
        vlan, priority, frame = entered
        if not self.may_send(frame):
            return self._drop(SPOOFED)
        if self.dhcp_guard and is_server(frame) or self.router_guard and is_router(frame):
            return self._drop(GUARD)
        if not passes(self.rules, OUT, frame):
            return self._drop(ACL)
        if self.pace is not None:
            return self.pace.put(vlan, priority, frame) or self._drop(LIMIT)
        return self._enter(vlan, priority, frame)

    def _may_send(self, frame: bytes) -> bool:
        """Is the frame's source the station's own address, or may it use others?  Never a group's."""
        source = frame[6:12]
        return not frames.is_group(source) and (self.spoofing or source == self.address)

    def _enter(self, vlan: int, priority: int, frame: bytes) -> bool:
        self.sent[0] += 1
        self.sent[1] += len(frame)
        return self.switch.forward(self, vlan, priority, frame)

    # The switch's side.

    def give(self, vlan: int, priority: int, frame: bytes, copy: bool = False) -> bool:
        """Hand a frame to the station; False if it is not for this port, or is lost.  A mirror's `copy` passes no access list."""
        outgoing = self.vlan.leave(vlan, priority, frame) if not copy else self.vlan.leave(vlan, priority, frame) or frame
        if outgoing is None:
            return False
        if not self.up or self.station is None:
            return self._drop(NO_LINK)
        if not copy and not passes(self.rules, IN, frame):
            return self._drop(ACL)
        if not self.station.receive(outgoing):
            return self._drop(NO_PLACE)
        self.got[0] += 1
        self.got[1] += len(outgoing)
        return True

    def _drop(self, reason: str) -> bool:
        self.dropped[reason] += 1
        return False

    # Checkpoint.

    def _plan(self) -> list:
        rules = [[rule.action, rule.direction, rule.remote, rule.protocol, rule.port] for rule in self.rules]
        limit = None if self.pace is None else [self.pace.mbit_per_s, self.pace.depth]
        return [self.name, self.address, self.vlan.plan(), self.spoofing, self.dhcp_guard, self.router_guard, self.mirror, limit, rules]

    def save(self, saving: Saving) -> State:
        """Return its counts and what waits; the station saves itself."""
        return PORT.state(plan=self._plan(), up=self.up, sent=self.sent, got=self.got, dropped=dict(self.dropped),
                          rules=[rule.matched for rule in self.rules], pace=self.pace and self.pace.save(saving))

    def restore(self, state: State, restoring: Restoring) -> None:
        """Take it back into a port that was made alike; nobody is told of its link."""
        saved = PORT.take(state)
        same(f"switch port {self.name}", saved["plan"], self._plan())
        self.up, self.sent, self.got = saved["up"], list(saved["sent"]), list(saved["got"])
        self.dropped = Counter(saved["dropped"])
        for rule, counts in zip(self.rules, saved["rules"], strict=True):
            rule.matched = list(counts)
        if self.pace is not None:
            self.pace.restore(saved["pace"], restoring)
