"""A container's layers: a base that nobody changes, known by its digest, and a scratch disk of its own over it.

    base = Layer.open("base.img.gz", "sha256:4152fc36...")    # ValueError: missing, or not what the digest says
    scratch = Scratch(base, quota=1 << 20)                    # the container's own writes; thrown away when it stops

A digest is SHA-256 over the sectors, after unpacking, as an OCI image's DiffID is over the unpacked layer.
Sources: Open Container Initiative, image-spec, descriptor.md "Digests" and config.md "Layer DiffID"; Microsoft, "Windows container
storage overview" (scratch space, 20 GB unless said otherwise).
"""

import os
from errno import ENOSPC
from hashlib import sha256

from vmio.machine.contracts import Buffer, FileName, Sectors
from vmio.machine.media.medium import SECTOR, STEP, Medium
from vmio.machine.overlay import Overlay
from vmio.machine.storage import Image

ALGORITHM = "sha256"
QUOTA = 20 << 30            # bytes


def digest_of(medium: Medium) -> str:
    """Return "sha256:" and the 64 hexadecimal digits of a medium's sectors."""
    found = sha256()
    for lba in range(0, medium.sectors, STEP):
        found.update(medium.read(lba, min(STEP, medium.sectors - lba)))
    return f"{ALGORITHM}:{found.hexdigest()}"


class Layer(Medium):
    """A read-only disk whose sectors have `digest`; a write is a ValueError, for its device must not offer any."""

    __slots__ = ("base", "name", "sectors", "digest")

    def __init__(self, base: Medium, digest: str, name: str | None = None) -> None:
        """ValueError if the digest is none, or another one than that of `base`."""
        self.base, self.name, self.sectors, self.digest = base, name or base.name, base.sectors, digest
        kind, _, digits = digest.partition(":")
        if kind != ALGORITHM or len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
            raise ValueError(f"layer {self.name}: digest {digest!r}; {ALGORITHM}: and 64 hexadecimal digits in lower case")
        found = digest_of(base)
        if found != digest:
            raise ValueError(f"layer {self.name}: its digest is {found}, and {digest} was asked for: it was changed, or is another one")

    @classmethod
    def open(cls, path: FileName, digest: str) -> "Layer":
        """Return the layer in a file, in any form that `Image.open` reads; ValueError if it is missing, or not what the digest says."""
        if not os.path.exists(path):
            raise ValueError(f"layer {os.fspath(path)!r}: there is no such file; {digest} was asked for")
        return cls(Image.open(path), digest, os.path.basename(os.fspath(path)))  # type: ignore[arg-type]  # a name is text here

    def read(self, lba: int, count: int = 1) -> Sectors:
        """Return `count` sectors from `lba`, as bytes; BeyondEnd beyond the last sector."""
        self.check_read(lba, count)
        return self.base.read(lba, count)

    def write(self, lba: int, data: Buffer) -> None:
        """Raise ValueError: a layer stays what its digest says."""
        raise ValueError(f"layer {self.name}: read-only; a container's writes go to its scratch disk")


class NoSpace(OSError):
    """A container has written as much as it may: its device tells its guest that there is no space."""

    def __init__(self, text: str) -> None:
        super().__init__(ENOSPC, text)


class Scratch(Overlay):
    """What one container writes over `base`, up to `quota` bytes (a multiple of 512); `refused` counts the writes that were too many.

    What is written again, or discarded and written, counts once.
    """

    __slots__ = ("quota", "refused")

    def __init__(self, base: Medium, quota: int = QUOTA, name: str | None = None) -> None:
        if not isinstance(quota, int) or quota < SECTOR or quota % SECTOR:
            raise ValueError(f"scratch over {base.name}: quota {quota!r}; a multiple of {SECTOR} bytes, {SECTOR} at least")
        super().__init__(base, name or f"scratch over {base.name}")
        self.quota, self.refused = quota, 0

    @property
    def used(self) -> int:
        """How many bytes of its own it holds."""
        return len(self.own) * SECTOR

    def write(self, lba: int, data: Buffer) -> None:
        """Store whole sectors from `lba` on, all of them or none; `NoSpace` where that were more than the quota."""
        new = sum(at not in self.own for at in range(lba, lba + self.check_write(lba, data)))
        if self.used + new * SECTOR > self.quota:
            self.refused += 1
            raise NoSpace(f"{self.name}: {self.used:,} bytes are written and {new * SECTOR:,} more are asked for; its quota is {self.quota:,}")
        super().write(lba, data)

    def throw_away(self) -> None:
        """Forget all that the container has written: it has stopped."""
        self.own.clear()
        self.zeroed = type(self.zeroed)()
