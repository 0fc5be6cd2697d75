"""Layers are what their digests say; a scratch disk holds what its quota allows, and is gone afterwards."""

import errno
import gzip
import hashlib
import random

import pytest

from vmio.machine.media.layer import Layer, NoSpace, Scratch, digest_of
from vmio.machine.media.medium import BeyondEnd
from vmio.machine.storage import Image

BYTES = random.Random(20).randbytes(40 * 512)
DIGEST = "sha256:" + hashlib.sha256(BYTES).hexdigest()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "base.img"
    path.write_bytes(BYTES)
    return path


def test_a_layer_with_its_digest(file, tmp_path):
    layer = Layer.open(file, DIGEST)
    assert (layer.sectors, layer.name, layer.digest) == (40, "base.img", DIGEST) and layer.read(3, 2) == BYTES[3 * 512:5 * 512]
    packed = tmp_path / "base.img.gz"
    packed.write_bytes(gzip.compress(BYTES))
    assert Layer.open(packed, DIGEST).read(0, 40) == BYTES          # over the sectors, not over the file
    with pytest.raises(BeyondEnd):
        layer.read(39, 2)
    with pytest.raises(ValueError, match="layer base.img: read-only; a container's writes go to its scratch disk"):
        layer.write(0, bytes(512))


@pytest.mark.parametrize("at", (0, 511, 20 * 512 + 7, 40 * 512 - 1))
def test_one_changed_bit_is_another_layer(file, at):
    changed = bytearray(BYTES)
    changed[at] ^= 1
    file.write_bytes(changed)
    found = hashlib.sha256(changed).hexdigest()
    with pytest.raises(ValueError, match=f"^layer base.img: its digest is sha256:{found}, and {DIGEST} was asked for: it was changed"):
        Layer.open(file, DIGEST)


def test_a_layer_that_is_missing(tmp_path):
    with pytest.raises(ValueError, match=r"^layer '.*none\.img': there is no such file; sha256:.* was asked for$"):
        Layer.open(tmp_path / "none.img", DIGEST)


@pytest.mark.parametrize("digest", ("", DIGEST[7:], "sha512:" + DIGEST[7:], DIGEST[:-1], DIGEST + "0", DIGEST.upper(), "sha256:" + "g" * 64))
def test_what_is_no_digest(digest):
    with pytest.raises(ValueError, match=f"^layer memory: digest '{digest}'; sha256: and 64 hexadecimal digits in lower case$"):
        Layer(Image(bytearray(BYTES)), digest)


def test_the_digest_of_a_large_medium_goes_by_pieces():
    data = random.Random(1).randbytes((2048 * 2 + 5) * 512)
    assert digest_of(Image(bytearray(data))) == "sha256:" + hashlib.sha256(data).hexdigest()


def scratch(quota):
    return Scratch(Layer(Image(bytearray(BYTES)), DIGEST), quota)


def test_the_quota_counts_a_sector_once():
    own = scratch(4 * 512)
    own.write(0, b"a" * 1024)
    own.write(1, b"b" * 1536)
    own.write(0, b"c" * 2048)               # all four are written already
    assert own.used == 2048 and own.read(0, 5) == b"c" * 2048 + BYTES[4 * 512:5 * 512] and own.refused == 0


def test_what_is_too_much_is_refused_as_a_whole():
    own = scratch(4 * 512)
    own.write(10, b"a" * 1024)
    with pytest.raises(NoSpace, match=r"scratch over memory: 1,024 bytes are written and 1,536 more are asked for; its quota is 2,048") as caught:
        own.write(11, b"b" * 2048)
    assert caught.value.errno == errno.ENOSPC and own.refused == 1
    assert own.used == 1024 and own.read(10, 6) == b"a" * 1024 + BYTES[12 * 512:16 * 512]
    own.write(12, b"d" * 1024)
    assert own.used == 2048


def test_discarded_sectors_make_room():
    own = scratch(1024)
    own.write(0, b"a" * 1024)
    own.discard(0, 1)
    own.write(5, b"b" * 512)
    assert own.read(0, 1) == bytes(512) and own.used == 1024


def test_it_is_thrown_away():
    own = scratch(2048)
    own.write(7, b"x" * 1024)
    own.discard(20, 3)
    own.throw_away()
    assert own.used == 0 and own.read(0, 40) == BYTES


@pytest.mark.parametrize("quota", (0, -512, 511, 513, 1.5, "1024"))
def test_quotas_that_cannot_be(quota):
    with pytest.raises(ValueError, match=f"^scratch over memory: quota {quota!r}; a multiple of 512 bytes, 512 at least$"):
        scratch(quota)
