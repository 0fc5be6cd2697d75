"""A disk that carries its key, locked: what QEMU writes and reads of it, wrong keys, changed headers, and a key that is gone."""

import hashlib
import random
import shutil
import subprocess

import pytest

from vmio.machine.crypto import luks, stripes
from vmio.machine.crypto.keys import Key, KeyGone, slow
from vmio.machine.crypto.luks_wire import DISABLED, ENABLED, HEADER_BYTES, PHDR, SLOT
from vmio.machine.crypto.part import Part
from vmio.machine.media.encrypted import Encrypted
from vmio.machine.media.medium import BeyondEnd
from vmio.machine.storage import Image

KEY = random.Random(64).randbytes(64)
MARK = b"the host must never see this"
OURS, ADMIN = b"open, please", b"so is this"
SLOT_SECTORS = 504


@pytest.fixture(scope="module")
def made():
    """(the bytes of a locked disk of 64 sectors, with a secret in sector 3, and two passphrases)"""
    image = Image(bytearray((8 + 8 * SLOT_SECTORS + 64) * 512))
    luks.create(image, KEY, {0: OURS, 5: ADMIN}, random.Random(1))
    luks.unlock(image, OURS).write(3, MARK.ljust(512))
    return bytes(image.read(0, image.sectors))


def opened(made):
    return Image(bytearray(made))


def changed(made, at, data):
    return Image(bytearray(made[:at] + data + made[at + len(data):]))


def test_each_passphrase_opens_and_nothing_of_key_or_secret_is_in_clear(made):
    for passphrase in (OURS, ADMIN):
        disk = luks.unlock(opened(made), passphrase)
        assert disk.sectors == 64 and bytes(disk.read(3)).rstrip() == MARK
    assert MARK not in made and KEY not in made and KEY[:32] not in made and OURS not in made
    header = luks.read(opened(made))
    assert [slot.active for slot in header.slots] == [ENABLED, *[DISABLED] * 4, ENABLED, *[DISABLED] * 2]
    assert HEADER_BYTES == 592 and header.fields.payload_offset == 8 + 8 * SLOT_SECTORS
    Encrypted(Part(opened(made), header.fields.payload_offset, 64), KEY)


@pytest.mark.parametrize("length", (32, 64))
def test_every_stripe_is_needed(length):
    key, rng = random.Random(length).randbytes(length), random.Random(2)
    spread = stripes.split(key, rng)
    assert len(spread) == 4000 * length and stripes.merged(spread, length) == key
    for at in (0, len(spread) // 2, len(spread) - 1):
        bent = bytearray(spread)
        bent[at] ^= 1
        assert stripes.merged(bytes(bent), length) != key


def test_a_wrong_passphrase_opens_nothing_and_changes_nothing(made):
    image = opened(made)
    for wrong in (b"", OURS + b" ", OURS.upper(), KEY):
        with pytest.raises(luks.WrongPassphrase, match="^image memory: no key slot opens with this passphrase$"):
            luks.unlock(image, wrong)
    assert bytes(image.read(0, image.sectors)) == made


@pytest.mark.parametrize("field, value, message", (
    ("magic", b"LUKS\xba\xbf", r"magic is b'LUKS\\xba\\xbf'; b'LUKS\\xba\\xbe' can be read"),
    ("version", b"\0\2", "version is 2; 1 can be read"),
    ("cipher_name", b"des", r"cipher_name is b'des.*'; b'aes' can be read"),
    ("cipher_mode", b"cbc-plain64", r"cipher_mode is b'cbc-plain64.*'; b'xts-plain64' can be read"),
    ("hash_spec", b"md5256", r"hash_spec is b'md5256.*'; b'sha256' can be read"),
    ("key_bytes", (63).to_bytes(4, "big"), "key_bytes is 63; 32 or 64 can be read"),
    ("mk_digest_iterations", bytes(4), "mk_digest_iterations is 0; 1 to 2,000,000 can be"),
    ("mk_digest_iterations", b"\xff" * 4, "mk_digest_iterations is 4,294,967,295; 1 to 2,000,000 can be"),
    ("payload_offset", bytes(4), "payload_offset is 0; 508 to 4,103 can be"),
    ("payload_offset", b"\xff" * 4, "payload_offset is 4,294,967,295; 508 to 4,103 can be")))
def test_a_header_with_a_field_that_cannot_be_is_refused_by_its_name(made, field, value, message):
    with pytest.raises(luks.BadHeader, match=f"^image memory: {message}$"):
        luks.unlock(changed(made, PHDR.slice(field).start, value), OURS)


@pytest.mark.parametrize("field, value, message", (
    ("active", b"\0\0\0\1", "slot 5 is 0x00000001; 0x00ac71f3 and 0x0000dead can be"),
    ("iterations", b"\xff" * 4, "slot 5: iterations is 4,294,967,295; 1 to 2,000,000 can be"),
    ("stripes", b"\xff" * 4, "slot 5: stripes is 4,294,967,295; 4,000 can be"),
    ("key_material_offset", b"\xff" * 4, "slot 5: key_material_offset is 4,294,967,295; 2 to 3,540 can be"),
    ("key_material_offset", b"\0\0\0\1", "slot 5: key_material_offset is 1; 2 to 3,540 can be")))
def test_a_slot_with_a_field_that_cannot_be_is_refused_by_its_name(made, field, value, message):
    with pytest.raises(luks.BadHeader, match=f"^image memory: {message}$"):
        luks.unlock(changed(made, PHDR.size + 5 * SLOT.size + SLOT.slice(field).start, value), OURS)


@pytest.mark.parametrize("place", ("mk_digest", "mk_digest_salt"))
def test_a_changed_digest_lets_no_passphrase_in(made, place):
    for passphrase in (OURS, ADMIN):
        with pytest.raises(luks.WrongPassphrase):
            luks.unlock(changed(made, PHDR.slice(place).start, b"\x5a"), passphrase)


def test_any_byte_of_a_header_may_be_any_other_and_is_an_error_or_opens(made):
    rng, image, refused = random.Random(4), opened(made), 0
    for _ in range(400):
        at, header = rng.randrange(HEADER_BYTES), bytearray(made[:1024])
        header[at] = rng.randrange(256)
        image.write(0, header)
        try:
            assert luks.read(image).fields.version == 1
        except luks.BadHeader as error:
            refused += 1
            assert str(error).startswith("image memory: ")
    assert 50 < refused < 350
    with pytest.raises(luks.BadHeader, match="^image memory: 512 bytes; a LUKS header has 592$"):
        luks.read(Image(bytearray(512)))


def test_a_dropped_slot_takes_one_passphrase_and_leaves_the_other(made):
    image = opened(made)
    luks.drop(image, 0, random.Random(3))
    with pytest.raises(luks.WrongPassphrase):
        luks.unlock(image, OURS)
    assert bytes(luks.unlock(image, ADMIN).read(3)).rstrip() == MARK
    with pytest.raises(ValueError, match="^image memory: slot 0 is free$"):
        luks.drop(image, 0, random.Random(3))


def test_a_destroyed_key_is_a_disk_that_is_gone(made):
    image = opened(made)
    luks.destroy(image, random.Random(3))
    for passphrase in (OURS, ADMIN):
        with pytest.raises(luks.WrongPassphrase):
            luks.unlock(image, passphrase)
    after, payload = bytes(image.read(0, image.sectors)), 8 + 8 * SLOT_SECTORS
    assert after[payload * 512:] == made[payload * 512:]                        # not a byte of the disk itself has changed
    for slot in (0, 5):
        old, new = (data[(8 + slot * SLOT_SECTORS) * 512:][:256_000] for data in (made, after))
        assert sum(one != other for one, other in zip(old, new)) > 254_000      # every stripe is overwritten: 1 byte of 256 is the same by chance
    again = bytearray(after)
    again[:HEADER_BYTES] = made[:HEADER_BYTES]                                  # who kept the header has not kept the stripes
    with pytest.raises(luks.WrongPassphrase):
        luks.unlock(Image(again), OURS)


def test_a_key_of_a_guests_is_overwritten():
    key = Key(KEY, "guest a's key")
    held = key._held
    assert key.secret() == KEY and repr(key) == "Key(\"guest a's key\", 64 bytes)"
    key.destroy()
    assert bytes(held) == bytes(64) and repr(key) == "Key(\"guest a's key\", 64 bytes, destroyed)"
    with pytest.raises(KeyGone, match="^guest a's key was destroyed$"):
        key.secret()


@pytest.mark.parametrize("length", (20, 32, 64))
def test_without_openssl_plain_python_makes_the_same_key_of_a_passphrase(length, monkeypatch):
    theirs = slow(OURS, b"salt", 50, length)
    monkeypatch.delattr(hashlib, "pbkdf2_hmac")
    assert slow(OURS, b"salt", 50, length) == theirs and len(theirs) == length


def test_what_cannot_be_made_is_refused():
    image = Image(bytearray(4040 * 512))
    for key, slots, message in ((KEY[:63], {0: OURS}, "a key of 63 bytes; LUKS has 32 or 64 here"), (KEY, {}, r"slots \(none\): one or more of 0 to 7"),
                                (KEY, {8: OURS}, "slots 8: one or more of 0 to 7"),
                                (KEY, {0: OURS}, "image memory: 4040 sectors; a header takes 4040 of them")):
        with pytest.raises(ValueError, match=f"^{message}$"):
            luks.create(image, key, slots, random.Random(1))
    assert not any(image.read(0, image.sectors))
    with pytest.raises(BeyondEnd, match="^image memory: a part of 2 sectors from 4039 on; 0 to 4039 exist$"):
        Part(image, 4039, 2)


# QEMU's own reading and writing of it.

needs_qemu = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="no qemu-img")


def qemu_img(*arguments):
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True)


@needs_qemu
def test_qemu_opens_our_disk_with_either_passphrase(made, tmp_path):
    locked, clear = tmp_path / "locked", tmp_path / "clear"
    locked.write_bytes(made)
    for passphrase in (OURS, ADMIN):
        qemu_img("convert", "--object", f"secret,id=key,data={passphrase.decode().replace(',', ',,')}", "--image-opts",
                 f"driver=luks,key-secret=key,file.filename={locked}", "-O", "raw", clear)
        found = clear.read_bytes()
        assert len(found) == 64 * 512 and found[3 * 512:4 * 512].rstrip() == MARK


@needs_qemu
@pytest.mark.parametrize("cipher, length", (("aes-256", 64), ("aes-128", 32)))
def test_we_open_qemus_disk(cipher, length, tmp_path):
    locked, clear = tmp_path / "locked", tmp_path / "clear"
    clear.write_bytes(random.Random(9).randbytes(40 * 512))
    secret = ("--object", f"secret,id=key,data={ADMIN.decode()}")
    qemu_img("convert", *secret, "-f", "raw", "-O", "luks", "-o", f"key-secret=key,cipher-alg={cipher},cipher-mode=xts,ivgen-alg=plain64,hash-alg=sha256,iter-time=10",
             clear, locked)
    image = Image(bytearray(locked.read_bytes()))
    assert luks.read(image).fields.key_bytes == length
    assert bytes(luks.unlock(image, ADMIN).read(0, 40)) == clear.read_bytes()
    with pytest.raises(luks.WrongPassphrase):
        luks.unlock(image, OURS)
