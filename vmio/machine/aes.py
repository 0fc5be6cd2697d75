"""AES in plain Python, many blocks at a time: for where the library for it can't be had, as in a browser's page.

    cipher = Aes(key)                    16 or 32 bytes
    cipher.encrypt(blocks)               a whole number of blocks of 16 bytes, each by itself
    Xts(key).encrypt(7, unit)            a unit of a disk, with its number; a key of 32 or 64 bytes

A round is four steps, and each is done for all blocks at once: a table for every byte (SubBytes), bytes that change places
within their block (ShiftRows), sums of a column's bytes (MixColumns), and the round's key (AddRoundKey).  This protects nobody
from who measures the time of it.  Sources: FIPS 197; IEEE 1619-2018 (XTS), 5.2 for the product with alpha, 5.3.
"""

from collections.abc import Sequence

from vmio.machine.contracts import Buffer

BLOCK = 16
ROUNDS = {16: 10, 24: 12, 32: 14}          # by the length of the key in bytes


def _double(value: int) -> int:
    """2 times a byte in AES's field: x^8 + x^4 + x^3 + x + 1 is zero there."""
    return value << 1 ^ (0x11B if value & 0x80 else 0)


def _times(factor: int) -> bytes:
    """The table of `factor` times each byte."""
    table = []
    for value in range(256):
        product, power = 0, value
        for bit in range(8):
            product ^= power if factor >> bit & 1 else 0
            power = _double(power)
        table.append(product)
    return bytes(table)


def _substitution() -> bytes:
    """SubBytes: the inverse in the field (0 stays 0), then five of its rotations added up and 63h."""
    powers, value = [1], 3
    while value != 1:                               # 3 makes all of the field's 255 other bytes
        powers.append(value)
        value ^= _double(value)
    box = [0x63] * 256
    for exponent, each in enumerate(powers):
        twice = powers[-exponent % 255] * 0x101     # the inverse, two times side by side: a rotation is a part of it
        for turn in range(5):
            box[each] ^= twice >> 8 - turn & 0xFF
    return bytes(box)


SUB = _substitution()
UNSUB = bytes(SUB.index(value) for value in range(256))
SHIFT = [(at + 4 * (at % 4)) % BLOCK for at in range(BLOCK)]        # where a byte comes from: row `at % 4` goes left by its number
UNSHIFT = [SHIFT.index(at) for at in range(BLOCK)]
MIX, UNMIX = (2, 3, 1, 1), (14, 11, 13, 9)          # factors of a column's byte and the three below it
TABLES = {factor: _times(factor) for factor in (*MIX, *UNMIX)}


class Aes:
    """AES with one key of 16, 24 or 32 bytes."""

    def __init__(self, key: bytes) -> None:
        words = len(key) // 4
        schedule = [key[at:at + 4] for at in range(0, len(key), 4)]
        constant = 1
        while len(schedule) < 4 * (ROUNDS[len(key)] + 1):
            last = schedule[-1]
            if len(schedule) % words == 0:
                last = _xor((last[1:] + last[:1]).translate(SUB), bytes([constant, 0, 0, 0]))
                constant = _double(constant)
            elif words > 6 and len(schedule) % words == 4:
                last = last.translate(SUB)
            schedule.append(_xor(schedule[-words], last))
        self._keys = [b"".join(schedule[at:at + 4]) for at in range(0, len(schedule), 4)]

    def encrypt(self, blocks: Buffer) -> bytes:
        """Return as many blocks of ciphertext."""
        count = len(blocks) // BLOCK
        state = _xor(blocks, self._keys[0] * count)
        for key in self._keys[1:-1]:
            state = _xor(_mixed(_moved(state.translate(SUB), SHIFT), MIX), key * count)
        return _xor(_moved(state.translate(SUB), SHIFT), self._keys[-1] * count)

    def decrypt(self, blocks: Buffer) -> bytes:
        """Return the plain text: the same steps undone, the last one first."""
        count = len(blocks) // BLOCK
        state = _moved(_xor(blocks, self._keys[-1] * count), UNSHIFT).translate(UNSUB)
        for key in self._keys[-2:0:-1]:
            state = _moved(_mixed(_xor(state, key * count), UNMIX), UNSHIFT).translate(UNSUB)
        return _xor(state, self._keys[0] * count)


def _xor(one: Buffer, other: Buffer) -> bytes:
    """The sum of two texts of one length, bit by bit."""
    return (int.from_bytes(one, "little") ^ int.from_bytes(other, "little")).to_bytes(len(one), "little")


def _moved(state: bytes, places: Sequence[int]) -> bytes:
    """Each block with its bytes at other places."""
    moved = bytearray(len(state))
    for at, origin in enumerate(places):
        moved[at::BLOCK] = state[origin::BLOCK]
    return bytes(moved)


def _mixed(state: bytes, factors: Sequence[int]) -> bytes:
    """Each column of four bytes multiplied by the matrix whose first row is `factors` and whose others are turned by one."""
    rows = [state[row::4] for row in range(4)]
    mixed = bytearray(len(state))
    for row in range(4):
        total = 0
        for below, factor in enumerate(factors):
            total ^= int.from_bytes(rows[(row + below) % 4].translate(TABLES[factor]), "little")
        mixed[row::4] = total.to_bytes(len(rows[0]), "little")
    return bytes(mixed)


class Xts:
    """XTS with the key's halves: the second makes a mask for each block of a unit of its number, the first encrypts under that mask."""

    def __init__(self, key: bytes) -> None:
        half = len(key) // 2
        self._data, self._tweak = Aes(key[:half]), Aes(key[half:])

    def encrypt(self, number: int, plain: Buffer) -> bytes:
        """Return the ciphertext of a unit, a whole number of blocks."""
        mask = self._mask(number, len(plain) // BLOCK)
        return _xor(self._data.encrypt(_xor(plain, mask)), mask)

    def decrypt(self, number: int, ciphertext: Buffer) -> bytes:
        """Return the plain text of a unit."""
        mask = self._mask(number, len(ciphertext) // BLOCK)
        return _xor(self._data.decrypt(_xor(ciphertext, mask)), mask)

    def _mask(self, number: int, blocks: int) -> bytes:
        """The encrypted number, then each time twice what was before, in the field of 128 bits."""
        mask, value = bytearray(), int.from_bytes(self._tweak.encrypt(number.to_bytes(BLOCK, "little")), "little")
        for _ in range(blocks):
            mask += value.to_bytes(BLOCK, "little")
            value = value << 1 ^ ((1 << 128 | 0x87) if value >> 127 else 0)
        return bytes(mask)
