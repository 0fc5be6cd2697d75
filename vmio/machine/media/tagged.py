"""A disk that notices changes: a tag of 32 bytes beside each unit, which only who has the key can make.

    kept = Encrypted(Tagged(image, tags, mac_key), key)     # of what lies on the disk: encrypt first, then tag
    kept.read(8)                                            # Tampered if the unit or its tag is not what was written

The tag is HMAC-SHA256 of the unit's number and bytes.  So a unit that was changed, or that came from another place, has the wrong
tag.  A unit that is put back together with its own old tag has the right one: nobody remembers how often it was written.  A new disk is
tagged as a whole once, `tag_all`: were a missing tag good enough, it would do to erase one.
Sources: RFC 2104 (HMAC); Linux Documentation/admin-guide/device-mapper/dm-integrity.rst, "internal_hash".
"""

import hmac
from collections.abc import Iterator

from vmio.machine.contracts import Buffer, Sectors
from vmio.machine.media.medium import SECTOR, Medium

TAG = 32                        # bytes
TAGS = SECTOR // TAG            # of a sector


class Tampered(OSError):
    """A unit is not what its owner wrote: its device tells its guest that it can't be read."""


class Tagged(Medium):
    """Reads and writes `base`, with a tag in `tags`, another medium, for each of its sectors.  ValueError if `tags` is too small."""

    __slots__ = ("base", "tags", "name", "sectors", "_key")

    def __init__(self, base: Medium, tags: Medium, key: bytes) -> None:
        self.base, self.tags, self.name, self.sectors, self._key = base, tags, f"tagged {base.name}", base.sectors, key
        if tags.sectors * TAGS < base.sectors:
            raise ValueError(f"{self.name}: {tags.sectors} sectors of tags; {-(-base.sectors // TAGS)} are needed, {TAGS} tags in each")

    def read(self, lba: int, count: int = 1) -> Sectors:
        """Return `count` sectors from `lba`; Tampered if one of them was changed by somebody without the key."""
        data = self.base.read(lba, count)
        for n in range(count):
            if not hmac.compare_digest(self._tag(lba + n), self._made(lba + n, data[n * SECTOR:(n + 1) * SECTOR])):
                raise Tampered(f"{self.name}: sector {lba + n} is not what was written there")
        return data

    def write(self, lba: int, data: Buffer) -> None:
        """Store whole sectors from `lba`, and their tags."""
        for n in range(self.check_write(lba, data)):
            at, offset = divmod(lba + n, TAGS)
            sector = bytearray(self.tags.read(at))
            sector[offset * TAG:(offset + 1) * TAG] = self._made(lba + n, data[n * SECTOR:(n + 1) * SECTOR])
            self.tags.write(at, sector)
        self.base.write(lba, data)

    def tag_all(self) -> None:
        """Take all sectors as they are now for good ones: what a new disk needs."""
        for lba in range(self.sectors):
            self.write(lba, self.base.read(lba))

    def extents(self) -> Iterator[tuple[int, int]]:
        """Return what may hold something."""
        return self.base.extents()

    def _tag(self, lba: int) -> bytes:
        at, offset = divmod(lba, TAGS)
        return bytes(self.tags.read(at)[offset * TAG:(offset + 1) * TAG])

    def _made(self, lba: int, sector: Buffer) -> bytes:
        return hmac.digest(self._key, lba.to_bytes(8, "little") + bytes(sector), "sha256")
