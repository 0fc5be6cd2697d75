"""What a host can change on a guest's disk, and whether the guest notices: seven ways to tamper, four ways to keep a letter.

    tampering.run("flip a bit", "AES-XTS")      Outcome("garbled", 16 bytes of 1,024 are wrong)

The guest writes a letter of two sectors, and a newer one over it.  Then the host changes bytes of the disk, which it can without
any key, and the guest reads.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from vmio.machine.contracts import Buffer, Sectors
from vmio.machine.media.encrypted import Encrypted
from vmio.machine.media.medium import Medium
from vmio.machine.media.tagged import Tagged, Tampered
from vmio.machine.storage import SECTOR, Image

FIRST, OTHER, LENGTH = 8, 4, 2                      # sectors: the letter, another one, and how long they are
PLAIN, XTS, TAGS, BOTH = "in clear", "AES-XTS", "tags alone", "AES-XTS and tags"
KEPT = (PLAIN, XTS, TAGS, BOTH)
NOTICED, GARBLED, UNNOTICED = "noticed", "garbled", "unnoticed"


@dataclass(frozen=True)
class Outcome:
    """What the guest got: `what` is one of the three words, `wrong` how many bytes of its letter are others, None where it got none."""

    what: str
    wrong: int | None


class Bus(Medium):
    """Between the guest and `base`: with `replays` a read is answered by the answer of the read before, while its own data isn't there yet."""

    def __init__(self, base: Medium) -> None:
        self.base, self.name, self.sectors, self.replays, self.last = base, base.name, base.sectors, False, b""

    def read(self, lba: int, count: int = 1) -> Sectors:
        """Return `count` sectors, or what is still in the buffer."""
        if not self.replays:
            self.last = bytes(self.base.read(lba, count))
        return self.last

    def write(self, lba: int, data: Buffer) -> None:
        """Store whole sectors from `lba`."""
        self.base.write(lba, data)


class Disk:
    """What lies at the host, `image` and `tags`, and how the guest sees it, over a `bus`."""

    def __init__(self, kept: str, seed: int = 1) -> None:
        rng = random.Random(f"tampering {seed}")
        self.image, self.tags = Image(bytearray(16 * SECTOR)), Image(bytearray(SECTOR))
        self.bus = Bus(self.image)
        guest: Medium = self.bus
        if kept in (TAGS, BOTH):
            guest = Tagged(self.bus, self.tags, rng.randbytes(32))
            guest.tag_all()
        self.guest: Medium = Encrypted(guest, rng.randbytes(64)) if kept in (XTS, BOTH) else guest
        old, new = (text.encode().ljust(LENGTH * SECTOR, b".") for text in ("Pay nobody today. ", "Pay Ann 100, and Bob 900. "))
        self.guest.write(OTHER, "Pay Eve 5, as every week. ".encode().ljust(LENGTH * SECTOR, b"."))
        self.guest.write(FIRST, old)
        self.old = self.image.read(FIRST, LENGTH), self.tags.read(0)
        self.guest.write(FIRST, new)
        self.letter = new


def _flip(disk: Disk) -> None:
    """One bit of the letter's byte 100."""
    data = bytearray(disk.image.read(FIRST))
    data[100] ^= 1
    disk.image.write(FIRST, data)


def _swap(disk: Disk) -> None:
    """The letter's two sectors change places."""
    first, second = disk.image.read(FIRST), disk.image.read(FIRST + 1)
    disk.image.write(FIRST, second)
    disk.image.write(FIRST + 1, first)


def _rewrite(disk: Disk) -> None:
    """A letter of the host's own."""
    disk.image.write(FIRST, b"Pay the host 1,000. ".ljust(LENGTH * SECTOR, b"."))


def _erase(disk: Disk) -> None:
    """A letter of the host's own, and no tags at all."""
    _rewrite(disk)
    disk.tags.write(0, bytes(SECTOR))


def _roll_back(disk: Disk) -> None:
    """What lay there before."""
    disk.image.write(FIRST, disk.old[0])


def _roll_all_back(disk: Disk) -> None:
    """What lay there before, and the tags that belonged to it."""
    disk.image.write(FIRST, disk.old[0])
    disk.tags.write(0, disk.old[1])


def _replay(disk: Disk) -> None:
    """The guest reads another letter, and the answer to that comes twice: the second one is taken for the answer to the next read."""
    disk.guest.read(OTHER, LENGTH)
    disk.bus.replays = True


TAMPERINGS: dict[str, Callable[[Disk], None]] = {
    "flip a bit": _flip, "swap two sectors": _swap, "write another letter": _rewrite, "write another, erase the tags": _erase, "put the old letter back": _roll_back,
    "put the old letter and its tags back": _roll_all_back,
    "answer a read twice": _replay}


def run(tampering: str, kept: str, seed: int = 1) -> Outcome:
    """Let the host tamper with a letter that is `kept` like this; what is noticed is an error, what is garbled is nobody's letter."""
    disk = Disk(kept, seed)
    TAMPERINGS[tampering](disk)
    try:
        found = disk.guest.read(FIRST, LENGTH)
    except Tampered:
        return Outcome(NOTICED, None)
    wrong = sum(one != other for one, other in zip(found, disk.letter))
    noise = any(byte > 0x7E or byte < 0x20 for byte in found)           # a letter is text
    return Outcome(GARBLED if noise else UNNOTICED, wrong)
