"""Where a station is: what the switch has learned from the frames that came, never more than it has room for.

A flood of source addresses fills its own port's share and nothing else: what others have taught stays, and nothing
of theirs is flooded to it.  Source: IEEE 802.1Q-2022, 8.7 (learning) and 8.8.3 (ageing, 300 s by default).
"""

from vmio.machine.checkpoint import Form, State

MAX_ENTRIES, MAX_OF_PORT = 1024, 256
AGE_NS = 300_000_000_000
TABLE = Form("switch's table", 1, "entries", "refused")

Key = tuple[int, bytes]     # (VLAN, address)


class MacTable:
    """{(VLAN, address): (port's name, when it was last seen)} of at most `size` entries, `of_port` of them one port's."""

    def __init__(self, size: int = MAX_ENTRIES, of_port: int = MAX_OF_PORT, age_ns: int = AGE_NS) -> None:
        if not 1 <= of_port <= size:
            raise ValueError(f"of_port {of_port}: 1 to {size:,}, the table's size")
        self.size, self.of_port, self.age_ns = size, of_port, age_ns
        self.entries: dict[Key, tuple[str, int]] = {}      # the one that was seen longest ago first
        self._counts: dict[str, int] = {}
        self.refused = 0           # addresses that found no room

    def learn(self, vlan: int, address: bytes, port: str, now: int) -> None:
        """The station `address` is at `port`, as a frame of it says at `now` ns."""
        key = vlan, address
        self._forget_old(now)
        known = self.entries.pop(key, None)
        if known is not None:
            self._counts[known[0]] -= 1
        count = self._counts.get(port, 0)
        if count >= self.of_port or len(self.entries) >= self.size:
            self.refused += 1
            return
        self.entries[key] = port, now
        self._counts[port] = count + 1

    def find(self, vlan: int, address: bytes, now: int) -> str | None:
        """Return the port where it was last seen, or None."""
        self._forget_old(now)
        found = self.entries.get((vlan, address))
        return None if found is None else found[0]

    def forget(self, port: str) -> None:
        """Forget all that is at a port: its link went down, or its station has gone."""
        for key in [key for key, (name, _) in self.entries.items() if name == port]:
            del self.entries[key]
        self._counts.pop(port, None)

    def _forget_old(self, now: int) -> None:
        """Entries are in the order in which they were seen, so only the first ones can be too old."""
        for key, (port, seen) in self.entries.items():
            if now - seen < self.age_ns:
                break
            self._counts[port] -= 1
        else:
            self.entries.clear()
            return
        while (first := next(iter(self.entries))) != key:
            del self.entries[first]

    def save(self) -> State:
        """Return it as plain data."""
        return TABLE.state(entries=[[vlan, address, *where] for (vlan, address), where in self.entries.items()], refused=self.refused)

    def restore(self, state: State) -> None:
        """Take it back."""
        saved = TABLE.take(state)
        self.entries = {(vlan, address): (port, seen) for vlan, address, port, seen in saved["entries"]}
        self._counts = {}
        for port, _ in self.entries.values():
            self._counts[port] = self._counts.get(port, 0) + 1
        self.refused = saved["refused"]
