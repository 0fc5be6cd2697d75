"""What a virtio network card lets in, and the commands by which its driver says so.

After a reset it takes everything, until the driver knows better; as QEMU's device does.
Source: VIRTIO 1.2, 5.1.6.5 "Control Virtqueue".
"""

from vmio.machine.contracts import State
from vmio.machine.net import frames
from vmio.virtio import net_wire as w

MAX_ADDRESSES = 64           # of both tables together; with more the card takes all of that kind
VLANS = 4096


class Filter:
    """`address` is the card's own, which the driver may change."""

    def __init__(self, address: bytes) -> None:
        self.own = address
        self.reset()

    def reset(self) -> None:
        """As after a reset of the device."""
        self.address = self.own
        self.modes = {w.PROMISCUOUS}
        self.addresses: set[bytes] = set()
        self.too_many = [False, False]           # unicast, multicast addresses
        self.vlans: set[int] = set()

    def wants(self, frame: bytes) -> bool:
        """Return whether a frame is for the guest."""
        modes, to = self.modes, frame[:frames.ADDRESS]
        if w.PROMISCUOUS in modes:
            return True
        if frame[12:14] == frames.TAGGED[0] and int.from_bytes(frame[14:16], "big") % VLANS not in self.vlans:
            return False
        if to == frames.BROADCAST:
            return w.NO_BROADCAST not in modes
        if frames.is_group(to):
            return w.NO_MULTI not in modes and (w.ALL_MULTI in modes or self.too_many[1] or to in self.addresses)
        return w.NO_UNI not in modes and (w.ALL_UNI in modes or self.too_many[0] or to == self.address or to in self.addresses)

    def command(self, data: bytes) -> bool:
        """Carry out a command (class, command, what belongs to it); False for one that is unknown or not whole."""
        if len(data) < w.COMMAND.size:
            return False
        kind, command = data[:2]
        rest = data[2:]
        if kind == w.RX:
            return self._mode(command, rest)
        if kind == w.ADDRESSES and command == w.TABLE_SET:
            return self._set_table(rest)
        if kind == w.ADDRESSES and command == w.ADDRESS_SET and len(rest) == frames.ADDRESS:
            self.address = rest
            return True
        if kind == w.VLAN and command in (w.VLAN_ADD, w.VLAN_REMOVE) and len(rest) == 2:
            number = int.from_bytes(rest, "little")
            if number < VLANS:
                (self.vlans.add if command == w.VLAN_ADD else self.vlans.discard)(number)
            return number < VLANS
        # Nothing that could be switched off is offered, so it may only be switched off.
        return kind == w.ANNOUNCED and command == 0 or kind == w.OFFLOADS and command == 0 and len(rest) == 8 and not any(rest)

    def _mode(self, command: int, rest: bytes) -> bool:
        if command > w.NO_BROADCAST or len(rest) != 1:
            return False
        (self.modes.add if rest[0] else self.modes.discard)(command)
        return True

    def _set_table(self, data: bytes) -> bool:
        """Two tables, unicast and multicast: a count of 32 bits, then so many addresses."""
        found: list[list[bytes]] = []
        for _ in range(2):
            count = int.from_bytes(data[:4], "little")
            end = 4 + frames.ADDRESS * count
            if len(data) < max(end, 4):
                return False
            found.append([data[at:at + frames.ADDRESS] for at in range(4, end, frames.ADDRESS)])
            data = data[end:]
        if data:
            return False
        self.addresses, kept = set(), 0
        for n, table in enumerate(found):
            self.too_many[n] = kept + len(table) > MAX_ADDRESSES
            if not self.too_many[n]:
                self.addresses.update(table)
                kept += len(table)
        return True

    def save(self) -> State:
        """Return what the driver has said."""
        return {"address": self.address, "modes": sorted(self.modes), "addresses": sorted(self.addresses), "too_many": self.too_many,
                "vlans": sorted(self.vlans)}

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        self.address, self.modes, self.addresses = state["address"], set(state["modes"]), set(state["addresses"])
        self.too_many, self.vlans = list(state["too_many"]), set(state["vlans"])
