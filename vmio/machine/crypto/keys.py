"""A guest's keys: made from one secret, each for one purpose, and destroyed when nobody is to read any more.

    key = Key(secret)
    expanded(key.secret(), "key", b"", 32)       another key of it, which tells nothing about it
    slow(b"a passphrase", salt, 1000, 64)        a key that takes its time, so that nobody tries all passphrases
    key.destroy()                               its bytes are overwritten; who asks for them gets `KeyGone`

What is overwritten is this object's own memory.  What Python or a library copied of it before, and when they give that memory
back, can't be told from here: a program that must be sure keeps keys where it owns every byte.
Source: RFC 8446, 7.1 (HKDF-Expand-Label), RFC 5869, 2.3 (HKDF-Expand); RFC 8018, 5.2 (PBKDF2).
"""

import hashlib
import hmac


class KeyGone(ValueError):
    """The key was destroyed: what it had encrypted is noise for ever."""


class Key:
    """Bytes that can be destroyed; `name` is what messages call the key."""

    def __init__(self, secret: bytes, name: str = "the key") -> None:
        self.name, self.alive, self._held = name, True, bytearray(secret)

    def secret(self) -> bytes:
        """Return the key; `KeyGone` once it was destroyed."""
        if not self.alive:
            raise KeyGone(f"{self.name} was destroyed")
        return bytes(self._held)

    def destroy(self) -> None:
        """Overwrite the key's bytes with zeros."""
        self.alive, self._held[:] = False, bytes(len(self._held))

    def __repr__(self) -> str:
        return f"Key({self.name!r}, {len(self._held)} bytes{'' if self.alive else ', destroyed'})"       # never the bytes


def expanded(secret: bytes, label: str, context: bytes, length: int, hash_name: str = "sha256") -> bytes:
    """Return `length` bytes, at most 255 hashes, for the purpose `label`, as TLS 1.3 does it."""
    full = b"tls13 " + label.encode("ascii")
    info = length.to_bytes(2, "big") + bytes([len(full)]) + full + bytes([len(context)]) + context
    made, last = b"", b""
    while len(made) < length:
        last = hmac.digest(secret, last + info + bytes([len(made) // hmac.new(secret, digestmod=hash_name).digest_size + 1]), hash_name)
        made += last
    return made[:length]


def slow(secret: bytes, salt: bytes, iterations: int, length: int) -> bytes:
    """Return `length` bytes of PBKDF2 with SHA-256: by OpenSSL, or in plain Python where there is none, as in a browser's page."""
    if hasattr(hashlib, "pbkdf2_hmac"):
        return hashlib.pbkdf2_hmac("sha256", secret, salt, iterations, length)
    made, number = b"", 0
    while len(made) < length:
        number += 1
        last = hmac.digest(secret, salt + number.to_bytes(4, "big"), "sha256")
        total = int.from_bytes(last, "big")
        for _ in range(iterations - 1):
            last = hmac.digest(secret, last, "sha256")
            total ^= int.from_bytes(last, "big")
        made += total.to_bytes(len(last), "big")
    return made[:length]
