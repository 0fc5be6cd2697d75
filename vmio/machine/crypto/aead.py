"""AES in Galois/counter mode: encryption that notices, in the library's words an AEAD (authenticated encryption with associated data).

    cipher = aead(key)                              a key of 16 or 32 bytes
    sealed = cipher.seal(nonce, plain, header)      16 bytes longer than `plain`: ciphertext, then a tag
    cipher.open(nonce, sealed, header)              the plain text, or `Forged`

The tag covers the ciphertext and the header, which stays in clear.  A nonce of 12 bytes may be used once with a key: two texts
under one nonce give away what they differ in, and how tags are made.  Source: NIST SP 800-38D (algorithms 2 to 5).
"""

import hmac
from typing import Protocol

from vmio.machine.aes import BLOCK, Aes
from vmio.machine.contracts import Buffer

KEYS = (16, 32)     # bytes
NONCE, TAG = 12, 16
REDUCED = 0xE1 << 120       # x^128 in GHASH's field, where the first bit of a block belongs to x^0


class Forged(ValueError):
    """Ciphertext, header, nonce or key is not what it was sealed with; which of them nobody can tell."""


class Aead(Protocol):
    """A cipher with one key."""

    def seal(self, nonce: bytes, plain: Buffer, header: Buffer) -> bytes:
        """Return ciphertext and tag."""

    def open(self, nonce: bytes, sealed: Buffer, header: Buffer) -> bytes:
        """Return the plain text; `Forged` if anything was changed."""


def aead(key: bytes) -> Aead:
    """Return AES-GCM with this key; ValueError for one of another length than 16 or 32 bytes.

    The library `cryptography` does it where it is installed, `Gcm` below otherwise: the same bytes, some hundred times as slowly.
    """
    if len(key) not in KEYS:
        raise ValueError(f"a key of {len(key)} bytes; AES-GCM takes {KEYS[0]} or {KEYS[1]} here")
    try:
        return _Library(key)
    except ModuleNotFoundError:
        return Gcm(key)


class Gcm:
    """AES-GCM in plain Python."""

    def __init__(self, key: bytes) -> None:
        self._aes = Aes(key)
        self._tables = _tables(int.from_bytes(self._aes.encrypt(bytes(BLOCK)), "big"))

    def seal(self, nonce: bytes, plain: Buffer, header: Buffer) -> bytes:
        """See `Aead`."""
        ciphertext = self._counted(nonce, plain)
        return ciphertext + self._tag(nonce, ciphertext, header)

    def open(self, nonce: bytes, sealed: Buffer, header: Buffer) -> bytes:
        """See `Aead`."""
        ciphertext, tag = bytes(sealed[:-TAG]), bytes(sealed[-TAG:])
        if not hmac.compare_digest(tag, self._tag(nonce, ciphertext, header)):
            raise Forged("the tag is another")
        return self._counted(nonce, ciphertext)

    def _counted(self, nonce: bytes, data: Buffer) -> bytes:
        """Counter mode: block n of the data plus the encrypted nonce and n + 2."""
        blocks = -(-len(data) // BLOCK)
        stream = self._aes.encrypt(b"".join(nonce + (n + 2).to_bytes(4, "big") for n in range(blocks)))
        return _sum(data, stream[:len(data)])

    def _tag(self, nonce: bytes, ciphertext: bytes, header: Buffer) -> bytes:
        """GHASH of header, ciphertext and their lengths in bits, under the block that is counted as 1."""
        lengths = (len(header) * 8).to_bytes(8, "big") + (len(ciphertext) * 8).to_bytes(8, "big")
        total = 0
        for at in _blocks(bytes(header)) + _blocks(ciphertext) + [int.from_bytes(lengths, "big")]:
            total = self._times(total ^ at)
        return _sum(total.to_bytes(TAG, "big"), self._aes.encrypt(nonce + b"\0\0\0\1"))

    def _times(self, value: int) -> int:
        """`value` times the hash key."""
        product = 0
        for table, byte in zip(self._tables, value.to_bytes(BLOCK, "big")):
            product ^= table[byte]
        return product


def _tables(key: int) -> list[list[int]]:
    """For each of 16 places, each byte there times the hash key: `key` times x, time and again, and sums of those."""
    tables = []
    for _ in range(BLOCK):
        table = [0] * 256
        for bit in range(7, -1, -1):
            table[1 << bit] = key
            key = key >> 1 ^ (REDUCED if key & 1 else 0)
        for value in range(256):
            lowest = value & -value
            table[value] = table[lowest] ^ table[value ^ lowest] if value != lowest else table[value]
        tables.append(table)
    return tables


def _blocks(data: bytes) -> list[int]:
    """Blocks of 16 bytes as numbers, the last one filled up with zeros."""
    return [int.from_bytes(data[at:at + BLOCK].ljust(BLOCK, b"\0"), "big") for at in range(0, len(data), BLOCK)]


def _sum(one: Buffer, other: Buffer) -> bytes:
    """The sum of two texts of one length, bit by bit."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


class _Library:
    """An `Aead` of the library's."""

    def __init__(self, key: bytes) -> None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        self._cipher, self._invalid = AESGCM(key), InvalidTag

    def seal(self, nonce: bytes, plain: Buffer, header: Buffer) -> bytes:
        """See `Aead`."""
        return self._cipher.encrypt(nonce, bytes(plain), bytes(header))

    def open(self, nonce: bytes, sealed: Buffer, header: Buffer) -> bytes:
        """See `Aead`."""
        try:
            return self._cipher.decrypt(nonce, bytes(sealed), bytes(header))
        except self._invalid:
            raise Forged("the tag is another") from None
