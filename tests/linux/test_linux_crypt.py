"""Linux's own dm-crypt, unmodified, on a disk of ours: the host finds what AES-XTS makes of its bytes, and nothing else."""

from functools import cache

import pytest

from tests.linux_rig import start
from vmio.linux import mapper
from vmio.linux.initramfs import DISKS
from vmio.machine.media.encrypted import Encrypted
from vmio.machine.storage import Image

KEY = bytes(range(64))
SMALL, LARGE = 2048, 1024       # sectors of the two encrypted disks: units of 512 bytes, then of 4,096
LETTER = b"".join(b"line %d: the host must never see this\n" % n for n in range(200))
PLAIN = LETTER.ljust(8192, b"\0")
MARK = b"the host must never see this"


@cache
def booted():
    """(what the console has shown, the host's bytes of the disk) of a guest that wrote one letter three times: encrypted twice, then in clear."""
    table = f"aes-xts-plain64 {KEY.hex()} 0 /dev/sda"
    programs = {"small": mapper.program("small", SMALL, "crypt", f"{table} 0"),
                "large": mapper.program("large", LARGE, "crypt", f"{table} {SMALL} 2 sector_size:4096 iv_large_sectors"),
                "twice": mapper.program("small", SMALL, "crypt", f"{table} 0")}
    commands = ["await /dev/sda", "small && large && await /dev/dm-0 /dev/dm-1 && echo both are there", "twice || echo once is enough",
                'for n in $(seq 0 199); do echo "line $n: the host must never see this"; done > letter', "truncate -s 8192 letter",
                *(f"dd if=letter of=/dev/{disk} bs=4096 count=2 seek={at} oflag=direct 2>/dev/null" for disk, at in
                  (("dm-0", 3), ("dm-1", 5), ("sda", 400))),
                "dd if=/dev/dm-0 bs=4096 count=2 skip=3 iflag=direct 2>/dev/null | cmp - letter && echo read back"]
    boot = start(commands, [*DISKS, *mapper.CRYPT], medium=Image(bytearray(4096 * 512)), modes=("split",), programs=programs)
    return boot.run().console_text, boot.media["split"]


def test_linux_and_we_mean_the_same_bytes():
    text, image = booted()
    assert "both are there" in text and "once is enough" in text and "read back" in text
    assert Encrypted(image, KEY).read(24, 16) == PLAIN


@pytest.mark.parametrize("large_numbers", (True, False))
def test_units_of_4096_bytes_count_by_units_only_if_that_is_asked_for(large_numbers):
    _, image = booted()
    part = Image(bytearray(image.read(SMALL, LARGE)))
    plain = Encrypted(part, KEY, 4096, large_numbers).read(40, 16)
    assert (plain == PLAIN) is large_numbers and (MARK in plain) is large_numbers


def test_the_host_finds_the_letter_only_where_it_was_written_in_clear():
    _, image = booted()
    assert image.read(3200, 16) == PLAIN
    assert [image.read(at, count).count(MARK) for at, count in ((0, SMALL), (SMALL, LARGE), (3200, 16))] == [0, 0, 200]
    assert len(set(bytes(image.read(24, 16)))) > 250        # of 256: noise
