"""A medium that notices changes, and what it can't notice."""

import random

import pytest

from vmio.machine.media.tagged import TAGS, Tagged, Tampered
from vmio.machine.storage import Image

KEY = b"a key of the owner's"


def disk(sectors=40):
    """(image, tags, the disk over them, full of noise)"""
    image, tags = Image(bytearray(random.Random(5).randbytes(sectors * 512))), Image(bytearray(-(-sectors // TAGS) * 512))
    kept = Tagged(image, tags, KEY)
    kept.tag_all()
    return image, tags, kept


def test_what_was_written_is_read():
    image, _, kept = disk()
    before = image.read(0, 40)
    kept.write(15, b"x" * 1536)
    assert kept.read(14, 5) == before[14 * 512:15 * 512] + b"x" * 1536 + before[18 * 512:19 * 512]
    assert list(kept.extents()) == [(0, 40)] and kept.sectors == 40


@pytest.mark.parametrize("at", (0, 511, 16 * 512, 40 * 512 - 1))
def test_a_bit_that_was_changed_is_noticed_where_it_is_and_nowhere_else(at):
    image, _, kept = disk()
    data = bytearray(image.read(at // 512))
    data[at % 512] ^= 0x80
    image.write(at // 512, data)
    for lba in range(40):
        if lba == at // 512:
            with pytest.raises(Tampered, match=f"^tagged memory: sector {lba} is not what was written there$"):
                kept.read(lba)
        else:
            kept.read(lba)
    with pytest.raises(Tampered):
        kept.read(0, 40)


@pytest.mark.parametrize("byte", range(32))
def test_every_byte_of_a_tag_counts(byte):
    _, tags, kept = disk()
    data = bytearray(tags.read(1))
    data[3 * 32 + byte] ^= 1
    tags.write(1, data)
    with pytest.raises(Tampered, match="sector 19 "):
        kept.read(19)
    kept.read(18), kept.read(20)


def test_another_sectors_bytes_and_tag_do_not_fit_here():
    image, tags, kept = disk()
    image.write(4, image.read(5))
    rows = bytearray(tags.read(0))
    rows[4 * 32:5 * 32] = rows[5 * 32:6 * 32]
    tags.write(0, rows)
    with pytest.raises(Tampered, match="sector 4 "):
        kept.read(4)


def test_an_erased_tag_is_no_permission():
    _, tags, kept = disk()
    tags.write(0, bytes(512))
    with pytest.raises(Tampered):
        kept.read(0)


def test_another_key_makes_other_tags():
    image, tags, _ = disk()
    with pytest.raises(Tampered):
        Tagged(image, tags, b"another").read(7)


def test_old_bytes_with_their_old_tags_are_taken():
    image, tags, kept = disk()
    old = image.read(0, 40), tags.read(0, 3)
    kept.write(8, bytes(512))
    image.write(0, old[0])
    tags.write(0, old[1])
    assert kept.read(8) == old[0][8 * 512:9 * 512]


def test_too_few_tags():
    with pytest.raises(ValueError, match="^tagged memory: 2 sectors of tags; 3 are needed, 16 tags in each$"):
        Tagged(Image(bytearray(40 * 512)), Image(bytearray(1024)), KEY)
