"""Who sees a guest's letter, and who notices that it was changed: measured, in every mode."""

import pytest

from vmio.experiments import secrets, tampering
from vmio.experiments.secrets import DEVICE, DISK, MARK, RAM, RINGS, SecretsParams
from vmio.machine.media.encrypted import Encrypted
from vmio.machine.storage import Image


def found(mode, encrypt, **more):
    return secrets.run(SecretsParams(mode, encrypt, **more))


@pytest.mark.parametrize("mode", secrets.MODES)
@pytest.mark.parametrize("encrypt", secrets.WHO)
def test_who_sees_the_letter(mode, encrypt):
    if (mode, encrypt) == ("passthrough", "host"):
        with pytest.raises(ValueError, match="^encrypt host: not in passthrough, where the host has no hand in a request"):
            found(mode, encrypt)
        return
    one = found(mode, encrypt)
    assert one.intact and one.lines == 128
    on_disk, in_hands = {"nobody": (128, 256), "host": (0, 256), "guest": (0, 0)}[encrypt]
    assert one.hits == {DISK: on_disk, DEVICE: in_hands, **({RINGS: 0} if mode == "split" else {}), RAM: 256}
    plain = secrets.letter(8192)
    assert (one.disk == plain) is (encrypt == "nobody") and (MARK in one.disk) is (encrypt == "nobody")
    if encrypt != "nobody":
        image = Image(bytearray((secrets.FIRST + 16) * 512))
        image.write(secrets.FIRST, one.disk)
        assert Encrypted(image, secrets.key(1)).read(secrets.FIRST, 16) == plain


def test_encryption_by_the_guest_costs_its_processor_time_and_no_exit():
    nobody, host, guest = (found("split", who) for who in secrets.WHO)
    assert nobody.exits == host.exits == guest.exits == 8 and (nobody.crypt_ns, host.crypt_ns) == (0, 0)
    each = 4096 * 10**9 // 16_171_000_000           # C09.1, a request
    assert guest.crypt_ns == 4 * each == guest.ns - nobody.ns


def test_what_is_forgotten_is_in_nobodys_ram():
    for encrypt in ("nobody", "guest"):
        one = found("split", encrypt, keep=False)
        assert one.hits[RAM] == 0 and one.intact and one.hits[DISK] == (128 if encrypt == "nobody" else 0)


@pytest.mark.parametrize("length, block", ((4096, 4096), (65536, 65536), (65536, 8192)))
def test_letters_and_requests_of_other_sizes(length, block):
    one = found("split", "guest", bytes=length, block=block)
    assert one.intact and one.lines == length // 64 and one.hits[DISK] == 0 and one.hits[RAM] == 2 * one.lines


def test_another_seed_is_another_key():
    assert found("split", "guest", seed=1).disk != found("split", "guest", seed=2).disk


def test_blocks_that_do_not_fill_the_letter_are_refused():
    for length, block in ((4096, 8192), (16384, 12288)):
        with pytest.raises(ValueError, match=f"^block {block}: the letter's {length:,} bytes are no whole number of them$"):
            found("split", "guest", bytes=length, block=block)


TABLE = {
    "flip a bit": ("unnoticed", "garbled", "noticed", "noticed"),
    "swap two sectors": ("unnoticed", "garbled", "noticed", "noticed"),
    "write another letter": ("unnoticed", "garbled", "noticed", "noticed"),
    "write another, erase the tags": ("unnoticed", "garbled", "noticed", "noticed"),
    "put the old letter back": ("unnoticed", "unnoticed", "noticed", "noticed"),
    "put the old letter and its tags back": ("unnoticed", "unnoticed", "unnoticed", "unnoticed"),
    "answer a read twice": ("unnoticed", "garbled", "noticed", "noticed"),
}


@pytest.mark.parametrize("tampered", tampering.TAMPERINGS)
def test_who_notices_what(tampered):
    for seed in range(1, 6):
        assert tuple(tampering.run(tampered, kept, seed).what for kept in tampering.KEPT) == TABLE[tampered]


def test_a_flipped_bit_garbles_one_block_of_the_cipher():
    assert (tampering.run("flip a bit", tampering.PLAIN).wrong, tampering.run("flip a bit", tampering.XTS).wrong) == (1, 16)
