"""The program that makes a device-mapper disk: its file, and what doesn't fit in it."""

import pytest

from vmio.linux import mapper
from vmio.linux.mapper_wire import DM_CREATE, DM_IOCTL, DM_LOAD, DM_TARGET, PROGRAM, SEGMENT, ioctl


def test_sizes_and_numbers_are_the_kernels():
    assert (DM_IOCTL.size, DM_TARGET.size, SEGMENT.size) == (312, 40, 56)
    assert (ioctl(DM_CREATE), ioctl(DM_LOAD)) == (0xC138FD03, 0xC138FD09)       # DM_DEV_CREATE and DM_TABLE_LOAD of linux/dm-ioctl.h, by gcc


def test_the_file_is_one_segment_and_holds_three_requests():
    file = mapper.program("secret", 2048, "crypt", "aes-xts-plain64 00 0 /dev/sda 0")
    head, segment = PROGRAM.parse(file), SEGMENT.parse(file, PROGRAM.size)
    assert (head.entry - segment.address, segment.file_bytes) == (PROGRAM.size + SEGMENT.size, len(file))
    create, load, resume = (file[len(file) - 3 * 4096 + n * 4096:][:4096] for n in range(3))
    assert create == resume and DM_IOCTL.parse(create).target_count == 0 and DM_IOCTL.parse(load).target_count == 1
    target = DM_TARGET.parse(load, 312)
    assert (target.start, target.length, target.type.rstrip(b"\0")) == (0, 2048, b"crypt")
    assert load[352:].rstrip(b"\0") == b"aes-xts-plain64 00 0 /dev/sda 0"


@pytest.mark.parametrize("name, target, parameters, what", [
    ("", "crypt", "x", "name '': 1 to 127"), ("n" * 128, "crypt", "x", "name 'n+': 1 to 127"),
    ("n", "c" * 16, "x", "target 'c+': 1 to 15"), ("n", "crypt", "", "parameters '': 1 to 3743"), ("n", "crypt", "p" * 3744, "parameters 'p+': 1 to 3743")])
def test_what_does_not_fit_is_said(name, target, parameters, what):
    with pytest.raises(ValueError, match=f"^device mapper, {what} bytes fit$"):
        mapper.program(name, 1, target, parameters)
    mapper.program("n" * 127, 1, "c" * 15, "p" * 3743)
