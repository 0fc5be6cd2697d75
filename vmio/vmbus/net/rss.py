"""Receive side scaling: which channel a frame comes by, so that each flow has a vCPU of its own.

Source: learn.microsoft.com, "RSS Hashing Functions" and "Verifying the RSS Hash Calculation"; Krawczyk, "New Hash Functions for
Message Authentication", EUROCRYPT '95.
"""

from collections.abc import Sequence
from functools import lru_cache

from vmio.machine.checkpoint import Form, State
from vmio.machine.net import headers
from vmio.vmbus.net import rndis as r

LONGEST = 36               # bytes that are hashed: two IPv6 addresses and two ports
RSS = Form("receive side scaling", 1, "kinds", "key", "table")


@lru_cache(8)              # bounded: a guest chooses the key
def _tables(key: bytes) -> list[list[int]]:
    """For each place of a byte, what each value there adds to the hash."""
    number, width = int.from_bytes(key, "big"), 8 * len(key)
    tables = []
    for place in range(min(LONGEST, len(key) - 4)):
        table = [0] * 256
        for value in range(1, 256):
            lowest = value & -value
            window = number >> (width - 32 - 8 * place - (8 - lowest.bit_length())) & 0xFFFF_FFFF
            table[value] = table[value ^ lowest] ^ window
        tables.append(table)
    return tables


def toeplitz(key: bytes, data: bytes) -> int:
    """Return the 32-bit Toeplitz hash of at most `LONGEST` bytes under a key of 40: each bit that is set adds the key from there on."""
    value = 0
    for table, byte in zip(_tables(key), data):
        value ^= table[byte]
    return value


class Scaling:
    """Hash `kinds` (bits of `rndis`), a 40-byte `key` and a `table` of channel numbers; without a table it is off."""

    def __init__(self, kinds: int = 0, key: bytes = bytes(r.KEY_BYTES), table: Sequence[int] = ()) -> None:
        self.kinds, self.key, self.table = kinds, key, tuple(table)

    def hash(self, frame: bytes) -> int | None:
        """Return the hash of a frame's flow, or None for a frame of a kind that is not hashed."""
        found = headers.parse(frame)
        if not found.source:
            return None
        four = len(found.source) == 4
        addresses = found.source + found.destination
        if found.protocol == headers.IS_TCP and not found.fragment and found.source_port and (
                self.kinds & (r.HASH_TCP_IPV4 if four else r.HASH_TCP_IPV6)):
            return toeplitz(self.key, addresses + found.source_port.to_bytes(2, "big") + found.destination_port.to_bytes(2, "big"))
        return toeplitz(self.key, addresses) if self.kinds & (r.HASH_IPV4 if four else r.HASH_IPV6) else None

    def channel(self, value: int | None) -> int:
        """Return the number of the channel for a hash; 0 is the primary one."""
        return self.table[value % len(self.table)] if self.table and value is not None else 0

    def save(self) -> State:
        """Return it as plain data."""
        return RSS.state(kinds=self.kinds, key=self.key, table=self.table)

    @classmethod
    def restored(cls, state: State) -> "Scaling":
        """Return what was saved."""
        saved = RSS.take(state)
        return cls(saved["kinds"], saved["key"], saved["table"])


def parameters(data: bytes, old: Scaling, channels: int) -> Scaling | None:
    """Return what a guest sets by OID 00010204 (an RSS_PARAMETERS object, then table and key where it says); None if it makes no sense.

    `channels`: a table may name channels below this number.
    """
    if len(data) < r.RSS_PARAMETERS.size:
        return None
    asked = r.RSS_PARAMETERS.parse(data)
    if asked.type != r.IS_RSS_PARAMETERS:
        return None
    if asked.flags & r.RSS_OFF or not asked.hash & r.TOEPLITZ and not asked.flags & r.HASH_UNCHANGED:
        return Scaling(0, old.key)
    kinds, key, table = old.kinds, old.key, old.table
    if not asked.flags & r.HASH_UNCHANGED:
        kinds = asked.hash & (r.HASH_IPV4 | r.HASH_TCP_IPV4 | r.HASH_IPV6 | r.HASH_TCP_IPV6)
    if not asked.flags & r.KEY_UNCHANGED:
        key = data[asked.key_offset:asked.key_offset + asked.key_bytes]
        if len(key) != r.KEY_BYTES or asked.key_bytes != r.KEY_BYTES:
            return None
    if not asked.flags & r.TABLE_UNCHANGED:
        raw = data[asked.table_offset:asked.table_offset + asked.table_bytes]
        if len(raw) != asked.table_bytes or len(raw) % 4 or not 4 <= len(raw) <= 4 * r.TABLE_ENTRIES:
            return None
        table = tuple(int.from_bytes(raw[at:at + 4], "little") for at in range(0, len(raw), 4))
        if max(table) >= channels:
            return None
    return Scaling(kinds, key, table)
