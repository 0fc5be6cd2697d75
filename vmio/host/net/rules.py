"""A port's access list, and its guards against a guest that plays the network's servers.

The first rule that matches decides; a meter only counts.  Where none does, the frame passes.  Source for what a port of
Hyper-V's switch can be told: learn.microsoft.com, "Hyper-V Virtual Switch" (jj679878); the order is ours.
"""

import ipaddress
from dataclasses import dataclass, field

from vmio.machine.net import frames, headers
from vmio.machine.net.headers import Headers

ALLOW, DENY, METER = ACTIONS = ("allow", "deny", "meter")
OUT, IN = DIRECTIONS = ("out", "in")            # of the guest: what it sends, what it is given
DHCP_SERVER, DHCPV6_SERVER = 67, 547            # RFC 2131, 4.1; RFC 8415, 7.2
ROUTER_ADVERTISEMENT, REDIRECT_V6, REDIRECT = 134, 137, 5      # RFC 4861, 4.2 and 4.5; RFC 792


@dataclass
class Rule:
    """Allow, deny or meter what goes `direction` from or to a `remote` station: its MAC address, or a network "10.0.0.0/8".

    `remote` None is anybody; `protocol` and `port` (the remote one) narrow it further.  ValueError for what is no such thing.
    """

    action: str
    direction: str
    remote: str | None = None
    protocol: int | None = None
    port: int | None = None
    matched: list[int] = field(default_factory=lambda: [0, 0], compare=False)      # frames, bytes

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"action {self.action!r}: choose one of {', '.join(ACTIONS)}")
        if self.direction not in DIRECTIONS:
            raise ValueError(f"direction {self.direction!r}: choose one of {', '.join(DIRECTIONS)}")
        self._mac, self._network = b"", (b"", 0)
        if self.remote is not None and self.remote.count(":") + self.remote.count("-") == 5 and "/" not in self.remote:
            self._mac = frames.parse_address(self.remote)
        elif self.remote is not None:
            try:
                network = ipaddress.ip_network(self.remote)
            except ValueError:
                raise ValueError(f"remote {self.remote!r}: a MAC address, or a network as 10.0.0.0/8") from None
            self._network = network.network_address.packed, network.max_prefixlen - network.prefixlen

    def matches(self, frame: bytes, found: Headers) -> bool:
        """Return whether it is about this frame."""
        out = self.direction == OUT
        if self._mac and (frame[:6] if out else frame[6:12]) != self._mac:
            return False
        address, host_bits = self._network
        if address:
            remote = found.destination if out else found.source
            if len(remote) != len(address) or (int.from_bytes(remote, "big") ^ int.from_bytes(address, "big")) >> host_bits:
                return False
        if self.protocol is not None and found.protocol != self.protocol:
            return False
        return self.port is None or (found.destination_port if out else found.source_port) == self.port


def passes(rules: list[Rule], direction: str, frame: bytes) -> bool:
    """Return whether `rules` let a frame pass, and count it at each that matches up to the one that decides."""
    found = headers.parse(frame) if rules else None
    for rule in rules:
        if found is not None and rule.direction == direction and rule.matches(frame, found):
            rule.matched[0] += 1
            rule.matched[1] += len(frame)
            if rule.action != METER:
                return rule.action == ALLOW
    return True


def is_server(frame: bytes) -> bool:
    """Return whether this is an answer of a DHCP server, which DHCP guard holds back."""
    found = headers.parse(frame)
    return found.protocol == headers.IS_UDP and found.source_port in (DHCP_SERVER, DHCPV6_SERVER)


def is_router(frame: bytes) -> bool:
    """Return whether this is an advertisement or a redirect of a router, which router guard holds back."""
    found = headers.parse(frame)
    if found.transport is None or found.fragment or found.transport >= len(frame):
        return False
    kind = frame[found.transport]
    if found.protocol == headers.IS_ICMPV6:
        return kind in (ROUTER_ADVERTISEMENT, REDIRECT_V6)
    return found.protocol == headers.IS_ICMP and kind == REDIRECT
