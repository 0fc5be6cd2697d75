"""Which frames the chip wants: 16 addresses, or a hash table of 512 bits, as a setup frame says.

A setup frame has 192 bytes: longwords of which only the low 16 bits count, the first byte of an address in the low byte.
Perfect: 16 addresses of three longwords each; inverse: all but these.  Hash: a table of 512 bits in the first 32 longwords,
and one address in the 40th to 42nd; hash only: individual addresses go through the table, too.  The bit of an address is
its CRC-32 modulo 512.
Source: 21140A manual, 4.2.3 "Setup Frame"; Linux, tulip_core.c (build_setup_frame_hash, build_setup_frame_perfect).
"""

import struct
import zlib

from vmio.devices.net.tulip import bits as b
from vmio.machine.checkpoint import Form, State
from vmio.machine.net.frames import ADDRESS, is_group

FILTER = Form("Tulip filter", 1, "mode", "addresses", "table")
SETUP_BYTES = 192
TABLE_LONGWORDS, HASHED_ADDRESS = 32, 39      # longwords: of the table, and before the one address
PERFECT, HASH, INVERSE, HASH_ONLY = 0, b.HP, b.IF, b.HP | b.HO
MODES = {(0, 0): PERFECT, (0, 1): HASH, (1, 0): INVERSE, (1, 1): HASH_ONLY}      # by FT1, FT0


def hash_of(address: bytes) -> int:
    """Return which bit of the table is an address's."""
    return ~zlib.crc32(address) & 0x1FF      # the register of the CRC as it is, not inverted


class Filter:
    """What the last setup frame said; after a reset nothing is wanted."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget it."""
        self.mode = PERFECT        # the bits of CSR6 that tell it
        self.addresses: list[bytes] = []
        self.table = 0

    def load(self, frame: bytes, control: int) -> None:
        """Take a setup frame, of a descriptor with this TDES1; one of another length than 192 bytes changes nothing."""
        if len(frame) != SETUP_BYTES:
            return
        self.mode = MODES[bool(control & b.T_FT1), bool(control & b.T_FT0)]
        words = [word & 0xFFFF for word in struct.unpack(f"<{SETUP_BYTES // 4}I", frame)]
        if self.mode & b.HP:
            self.table = sum(word << 16 * n for n, word in enumerate(words[:TABLE_LONGWORDS]))
            self.addresses = [_address(words, HASHED_ADDRESS)]
        else:
            self.addresses = list(dict.fromkeys(_address(words, at) for at in range(0, len(words), 3)))

    def matches(self, address: bytes) -> bool:
        """Return whether a frame to this address passes."""
        if self.mode == INVERSE:
            return address not in self.addresses
        if self.mode == HASH_ONLY or self.mode == HASH and is_group(address):
            return bool(self.table >> hash_of(address) & 1)
        return address in self.addresses

    def save(self) -> State:
        """Return mode, addresses and table."""
        return FILTER.state(mode=self.mode, addresses=self.addresses, table=self.table)

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        saved = FILTER.take(state)
        self.mode, self.addresses, self.table = saved["mode"], list(saved["addresses"]), saved["table"]


def _address(words: list[int], at: int) -> bytes:
    return struct.pack("<3H", *words[at:at + ADDRESS // 2])
