"""A disk of ciphertext as the owner of its key sees it: AES in XTS mode, laid out as Linux's dm-crypt does with "aes-xts-plain64".

    disk = Encrypted(image, key)              # image holds what a thief, or the host, finds
    disk.write(0, secret)                     # image.read(0) is noise now

Each unit of 512 bytes, or of 4,096, is encrypted by itself, and as long as before.  Its number goes in as a *tweak*, so that
equal units at two places look different.  Nothing says whether a unit was changed: one flipped bit of ciphertext makes noise of
16 bytes, and a unit that somebody puts back as it was last week is read as it was last week.

Sources: IEEE 1619-2018; Linux Documentation/admin-guide/device-mapper/dm-crypt.rst (plain64, sector_size, iv_large_sectors).
"""

from collections.abc import Callable, Iterator
from typing import Protocol

from vmio.machine import aes
from vmio.machine.checkpoint import State
from vmio.machine.contracts import Buffer, Sectors
from vmio.machine.media.medium import SECTOR, Medium

KEYS = (32, 64)             # bytes: two keys of AES-128, or two of AES-256
UNITS = (512, 4096)


class Encrypted(Medium):
    """The plain text of `base`, a medium of ciphertext, with a key of 32 or 64 bytes; ValueError for a key or a unit that can't be.

    `unit`: bytes that are encrypted as one.  The tweak is the number of the unit's first 512-byte sector or, with `large_numbers`
    (dm-crypt's "iv_large_sectors"), the number of the unit.
    """

    __slots__ = ("base", "name", "unit", "_cipher", "_step")

    def __init__(self, base: Medium, key: bytes, unit: int = 512, large_numbers: bool = False) -> None:
        if unit not in UNITS:
            raise ValueError(f"encrypted {base.name}: units of {unit} bytes; {' or '.join(map(str, UNITS))} can be")
        if base.sectors * SECTOR % unit:
            raise ValueError(f"encrypted {base.name}: its {base.sectors} sectors are no whole number of units of {unit} bytes")
        self.base, self.name, self.unit = base, f"encrypted {base.name}", unit
        self._cipher = xts(key)
        self._step = 1 if large_numbers else unit // SECTOR     # how much the tweak grows from one unit to the next

    @property
    def sectors(self) -> int:  # type: ignore[override]  # it is the base's, whatever that is
        """The number of sectors, in 512 bytes."""
        return self.base.sectors

    @property
    def writable(self) -> bool:
        """Whether writes end in a file of the host."""
        return self.base.writable

    @property
    def serial(self) -> str | None:
        """The serial number of the disk under it."""
        return self.base.serial

    @property
    def paths(self) -> tuple[str, ...]:
        """The files of the disk under it."""
        return self.base.paths

    def read(self, lba: int, count: int = 1) -> Sectors:
        """Return `count` sectors from `lba`, decrypted; ValueError beyond the last sector."""
        self.check_read(lba, count)
        if not count:
            return b""
        first, end = self._units(lba, count)
        plain = self._pass(first, self.base.read(*self._sectors(first, end)), self._cipher.decrypt)
        skipped = lba * SECTOR - first * self.unit
        return plain[skipped:skipped + count * SECTOR]

    def write(self, lba: int, data: Buffer) -> None:
        """Store `data` encrypted; a unit that is written in part is read first, and all reach `base` in one write."""
        count = self.check_write(lba, data)
        if not count:
            return
        first, end = self._units(lba, count)
        start, length = self._sectors(first, end)
        plain = b"".join((self.read(start, lba - start), data, self.read(lba + count, start + length - lba - count)))
        self.base.write(start, self._pass(first, plain, self._cipher.encrypt))

    def flush(self) -> None:
        """What was written is where it belongs."""
        self.base.flush()

    def extents(self) -> Iterator[tuple[int, int]]:
        """Return all of it: zeros of ciphertext are no zeros."""
        yield 0, self.sectors

    def saved_sectors(self) -> State:
        """Return what was written, as ciphertext."""
        return self.base.saved_sectors()

    def take_back(self, state: State) -> None:
        """Hold what `saved_sectors` gave."""
        self.base.take_back(state)

    def close(self) -> None:
        """Let go of the disk under it."""
        self.base.close()

    def _units(self, lba: int, count: int) -> tuple[int, int]:
        """The numbers of the first unit that these sectors touch, and of the one after the last."""
        return lba * SECTOR // self.unit, -(-(lba + count) * SECTOR // self.unit)

    def _sectors(self, first: int, end: int) -> tuple[int, int]:
        """First sector and number of sectors of these units."""
        return first * self.unit // SECTOR, (end - first) * self.unit // SECTOR

    def _pass(self, first: int, data: Buffer, one: Callable[[int, Buffer], bytes]) -> bytes:
        """Units from number `first` on, each passed through the cipher."""
        view = memoryview(data)
        return b"".join(one((first + n) * self._step, view[n * self.unit:(n + 1) * self.unit]) for n in range(len(view) // self.unit))


class Cipher(Protocol):
    """XTS with one key: the tweak is a number, in 16 bytes, the lowest first."""

    def encrypt(self, number: int, plain: Buffer) -> bytes:
        """Return the ciphertext of one unit, as long as it is."""

    def decrypt(self, number: int, ciphertext: Buffer) -> bytes:
        """Return the plain text of one unit."""


def xts(key: bytes) -> Cipher:
    """Return AES-XTS with this key; ValueError for one of another length than 32 or 64 bytes, or of two equal halves.

    The library `cryptography` does it where it is installed, `vmio.machine.aes` otherwise: the same bytes, some hundred times as slowly.
    """
    if len(key) not in KEYS:
        raise ValueError(f"a key of {len(key)} bytes; XTS takes two keys of AES at once, {KEYS[0]} or {KEYS[1]} bytes")
    if key[:len(key) // 2] == key[len(key) // 2:]:
        raise ValueError("a key of two equal halves; XTS needs two different keys")
    try:
        return _Library(key)
    except ModuleNotFoundError:
        return aes.Xts(key)


class _Library:
    """A `Cipher` of the library's, which asks for an object for each unit."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        self._of = lambda number: Cipher(algorithms.AES(key), modes.XTS(number.to_bytes(16, "little")))

    def encrypt(self, number: int, plain: Buffer) -> bytes:
        """See `Cipher`."""
        return self._of(number).encryptor().update(memoryview(plain))

    def decrypt(self, number: int, ciphertext: Buffer) -> bytes:
        """See `Cipher`."""
        return self._of(number).decryptor().update(memoryview(ciphertext))
