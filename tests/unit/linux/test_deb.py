"""A .deb is read, and what is none, or hostile, gets one sentence."""

import re
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.packages import deb, member, tarball
from vmio.linux.deb import contents

FILES = {"./boot/vmlinuz": b"kernel", "./bin/busybox": b"box" * 1000, "./other": b"x"}


@pytest.mark.parametrize("kind", ["xz", "gz", "bz2"])
def test_what_is_wanted(kind):
    assert contents(deb(FILES, kind), ["bin/busybox", "boot/vmlinuz"]) == {"boot/vmlinuz": b"kernel", "bin/busybox": b"box" * 1000}


def test_of_odd_and_even_lengths():
    for length in range(4):
        assert contents(b"!<arch>\n" + member("first", b"x" * length) + deb(FILES)[8:], ["other"]) == {"other": b"x"}


def as_link(info):
    info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0


@pytest.mark.parametrize("data, why", [
    (b"", "it is no .deb: those begin with '!<arch>'"), (b"PK\3\4", "it is no .deb: those begin with '!<arch>'"),
    (b"!<arch>\n", "there is no data.tar in it"), (b"!<arch>\n" + member("debian-binary", b"2.0\n"), "there is no data.tar in it"),
    (b"!<arch>\n" + member("data.tar", b"x", size=1 << 30), "it is damaged, or truncated"),
    (b"!<arch>\n" + member("data.tar", b"x", size=-1), "it is damaged, or truncated"),
    (b"!<arch>\n" + member("data.tar", b"x", end="xx"), "it is damaged, or truncated"),
    (deb({"./../../etc/passwd": b"x"}), "the name './../../etc/passwd' leads out of the package"),
    (deb({"/etc/passwd": b"x"}), "the name '/etc/passwd' leads out of the package"),
    (deb({"a/../b": b"x"}), "the name 'a/../b' leads out of the package"),
    (deb({"./other": b"x"}, change=as_link), "other is no ordinary file"),
    (deb({"./elsewhere": b"x"}), "there is no other in it"),
    (b"!<arch>\n" + member("data.tar.xz", b"garbage"), "its archive is damaged: "),
    (b"!<arch>\n" + member("data.tar.xz", tarball(FILES)[:100]), "there is no other in it"),
    (b"!<arch>\n" + member("data.tar.zst", b"\x28\xb5\x2f\xfd"), "its archive is damaged: ")])
def test_what_is_refused(data, why):
    with pytest.raises(ValueError, match=f"^{re.escape(why)}"):
        contents(data, ["other"])


def test_more_than_a_package_has():
    info = tarfile.TarInfo("huge")
    info.size = (1 << 30) + 1
    with pytest.raises(ValueError, match="^its files have more than 1,073,741,824 bytes$"):
        contents(b"!<arch>\n" + member("data.tar", info.tobuf() + bytes(1024)), ["other"])


def test_names_that_never_end():
    """A chain of long names, each for the next: the reader calls itself for each."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2
    with pytest.raises(ValueError, match="^its archive is damaged: "):
        contents(b"!<arch>\n" + member("data.tar", (info.tobuf() + b"a\0".ljust(512, b"\0")) * 2000), ["other"])


PLAIN = b"!<arch>\n" + member("data.tar", tarball({"other": b"content"}, kind=""))


@given(st.one_of(st.binary(max_size=200).map(lambda tail: b"!<arch>\n" + tail), st.binary(max_size=700).map(
    lambda tar: b"!<arch>\n" + member("data.tar.xz", tar)), st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), max_size=8)))
def test_whatever_it_is_it_is_read_or_refused(made):
    if isinstance(made, list):
        data = bytearray(PLAIN)
        for at, value in made:
            data[at] = value
        made = bytes(data)
    try:
        found = contents(made, ["other"])
    except ValueError as error:
        assert re.match("it is |its |there is |the name |other is ", str(error))
    else:
        assert found.keys() == {"other"}


