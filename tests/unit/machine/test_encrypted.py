"""A medium of ciphertext: published vectors, parts of units, what a thief and a vandal get."""

import random
import sys

import pytest

from vmio.machine import aes
from vmio.machine.media.encrypted import Encrypted, xts
from vmio.machine.media.medium import BeyondEnd
from vmio.machine.storage import Image

KEY = random.Random(17).randbytes(64)
MARK = b"the host must never see this"
SECRET = (MARK * 40)[:1024]


def disk(unit=512, large_numbers=False, sectors=64):
    """(image of ciphertext, what the key's owner sees of it)"""
    image = Image(bytearray(sectors * 512))
    return image, Encrypted(image, KEY, unit, large_numbers)


def test_a_vector_of_ieee_1619():
    """Vector 10, XTS-AES-256, data unit FFh: the first and the last 16 bytes of its ciphertext."""
    key = bytes.fromhex("2718281828459045235360287471352662497757247093699959574966967627"
                        "3141592653589793238462643383279502884197169399375105820974944592")
    plain = bytes(range(256)) * 2
    found = xts(key).encrypt(0xFF, plain)
    assert (found[:16].hex(), found[-16:].hex()) == ("1c3b3a102f770386e4836c99e370cf9b", "c4f36ffda9fcea70b9c6e693e148c151")
    assert xts(key).decrypt(0xFF, found) == plain


@pytest.mark.parametrize("unit", (512, 4096))
def test_any_sectors_are_what_was_written_last(unit):
    rng, (_, secret), plain = random.Random(unit), disk(unit), bytearray(64 * 512)
    secret.write(0, plain)
    for _ in range(60):
        lba = rng.randrange(64)
        count = rng.randint(0, 64 - lba)
        data = rng.randbytes(count * 512)
        secret.write(lba, data)
        plain[lba * 512:(lba + count) * 512] = data
        assert secret.read(0, 64) == plain
        assert secret.read(lba, count) == data


def test_a_unit_is_written_with_what_stays_of_it_in_one_write(monkeypatch):
    image, secret = disk(4096)
    secret.write(0, bytes(64 * 512))
    asked = []
    monkeypatch.setattr(Image, "write", lambda self, lba, data: asked.append((lba, len(data))))
    secret.write(15, bytes(1024))
    assert asked == [(8, 8192)]


def test_equal_sectors_look_different_and_nothing_of_them_is_found():
    image, secret = disk()
    for lba in (3, 4, 40):
        secret.write(lba, SECRET[:512])
    found = [bytes(image.read(lba)) for lba in (3, 4, 40)]
    assert len(set(found)) == 3 and not any(MARK in each for each in found)
    secret.write(4, SECRET[:512])
    assert image.read(4) == found[1]        # written again, the same: who watches sees that nothing has changed


@pytest.mark.parametrize("large_numbers, step", ((False, 8), (True, 1)))
def test_which_number_a_large_unit_has(large_numbers, step):
    image, secret = disk(4096, large_numbers)
    secret.write(24, SECRET * 4)
    assert xts(KEY).decrypt(3 * step, image.read(24, 8)) == SECRET * 4


def test_what_a_vandal_can_do():
    image, secret = disk()
    secret.write(8, SECRET)
    old = bytes(image.read(8, 2))
    flipped = bytearray(old)
    flipped[100] ^= 1
    image.write(8, flipped)
    garbled = secret.read(8, 2)
    assert [n for n in range(0, 1024, 16) if garbled[n:n + 16] != SECRET[n:n + 16]] == [96]     # one block of 16 bytes, and no word of warning
    image.write(8, old[512:] + old[:512])
    assert secret.read(8, 2) not in (SECRET, SECRET[512:] + SECRET[:512])       # elsewhere it is noise
    secret.write(8, bytes(1024))
    image.write(8, old)
    assert secret.read(8, 2) == SECRET      # last week's disk is a good one


def test_another_key_finds_noise():
    image, secret = disk()
    secret.write(8, SECRET)
    other = Encrypted(image, bytes(reversed(KEY)))
    assert MARK not in other.read(8, 2) and secret.read(8, 2) == SECRET


def test_discarded_sectors_are_zeros_to_the_owner():
    image, secret = disk()
    secret.write(8, SECRET)
    secret.discard(8, 2)
    assert secret.read(8, 2) == bytes(1024) and image.read(8, 2) != bytes(1024)
    assert list(secret.extents()) == [(0, 64)]


@pytest.mark.parametrize("lba, count", ((64, 1), (-1, 1), (60, 5)))
def test_beyond_the_end(lba, count):
    _, secret = disk()
    with pytest.raises(BeyondEnd):
        secret.read(lba, count)
    with pytest.raises(BeyondEnd):
        secret.write(lba, bytes(512 * count))
    with pytest.raises(ValueError, match="only multiples of 512"):
        secret.write(0, bytes(100))


@pytest.mark.parametrize("key, sentence", ((bytes(63), "a key of 63 bytes; XTS takes two keys of AES at once, 32 or 64 bytes"),
                                           (bytes(64), "a key of two equal halves; XTS needs two different keys")))
def test_a_key_that_cannot_be(key, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        Encrypted(Image(bytearray(4096)), key)


def test_units_that_cannot_be():
    with pytest.raises(ValueError, match="units of 1024 bytes; 512 or 4096 can be"):
        disk(1024)
    with pytest.raises(ValueError, match="its 63 sectors are no whole number of units of 4096 bytes"):
        disk(4096, sectors=63)


def test_without_the_library_the_bytes_are_the_same(monkeypatch):
    rng, cases = random.Random(3), []
    for size in (32, 64):
        for length in (16, 512, 4096):
            key, number, plain = rng.randbytes(size), rng.randrange(1 << 60), rng.randbytes(length)
            cases.append((key, number, plain, xts(key).encrypt(number, plain)))
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)
    for key, number, plain, ciphertext in cases:
        assert isinstance(xts(key), aes.Xts)
        assert xts(key).encrypt(number, plain) == ciphertext and xts(key).decrypt(number, ciphertext) == plain


@pytest.mark.parametrize("length, ciphertext", ((16, "69c4e0d86a7b0430d8cdb78070b4c55a"), (24, "dda97ca4864cdfe06eaf70a0ec0d7191"),
                                                (32, "8ea2b7ca516745bfeafc49904b496089")))
def test_the_examples_of_fips_197(length, ciphertext):
    """Appendix C: keys 00 01 02 ..., plain text 00 11 22 ..."""
    plain, cipher = bytes.fromhex("00112233445566778899aabbccddeeff"), aes.Aes(bytes(range(length)))
    assert cipher.encrypt(plain).hex() == ciphertext and cipher.decrypt(bytes.fromhex(ciphertext) * 2) == plain * 2


def test_what_is_saved_is_ciphertext():
    image, secret = disk()
    secret.write(8, SECRET)
    _, other = disk()
    other.take_back(secret.saved_sectors())
    assert MARK not in repr(secret.saved_sectors()).encode() and other.read(8, 2) == SECRET
    assert (secret.writable, secret.serial, secret.paths, secret.name) == (False, None, (), "encrypted memory")
