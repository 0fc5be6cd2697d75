"""The row of a real Linux in *Test the mix*: what is booted here is what was recorded, on honest hosts and on one that lies."""

import pytest

from tests.linux_files import kernel
from vmio.lessons.test_the_mix import linux, recorded


@pytest.mark.parametrize("point", [("emulator", "none"), ("2012", "none"), ("2022", "none"), ("2016", "version"), ("legacy gone", "connection")], ids=" ".join)
def test_a_boot_is_what_was_recorded(point):
    kernel()
    assert linux.run(point) == recorded.recorded(*point)
