"""A key spread over many stripes, of which each is needed: LUKS's anti-forensic splitter.

    stripes = split(key, random)            4,000 times as long
    merged(stripes, len(key))               the key; another one if a single bit of any stripe is another

A disk may keep old copies of a sector that was overwritten.  Of one that holds a key, one copy is enough for a thief; of 4,000 stripes
all must have survived.
Source: LUKS On-Disk Format Specification 1.2.3 (Broz and Fruhwirth), 2.4 (AFsplit, AFmerge, H1).
"""

import hashlib
from random import Random

STRIPES = 4000
HASH = 32               # bytes


def split(key: bytes, random: Random) -> bytes:
    """Return the stripes: random ones, and a last one that makes them the key."""
    made, last = [random.randbytes(len(key)) for _ in range(STRIPES - 1)], bytes(len(key))
    for stripe in made:
        last = _diffused(_sum(last, stripe))
    return b"".join(made) + _sum(last, key)


def merged(stripes: bytes, length: int) -> bytes:
    """Return the key out of its stripes of `length` bytes each."""
    last = bytes(length)
    for at in range(0, len(stripes) - length, length):
        last = _diffused(_sum(last, stripes[at:at + length]))
    return _sum(last, stripes[-length:])


def _diffused(block: bytes) -> bytes:
    """Each 32 bytes hashed with their number, so that every bit of a stripe changes half of the next one."""
    return b"".join(hashlib.sha256((at // HASH).to_bytes(4, "big") + block[at:at + HASH]).digest() for at in range(0, len(block), HASH))


def _sum(one: bytes, other: bytes) -> bytes:
    """The sum of two texts of one length, bit by bit."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")
