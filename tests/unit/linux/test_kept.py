"""What `vmio linux get` does: from a package manager or from files, each checked, whole or not at all."""

import hashlib
import json
import os
import re
import stat

import pytest

from tests.command_rig import posix, refused, vmio
from tests.linux_files import kernel
from tests.packages import deb
from vmio.linux import kept
from vmio.linux.packages import PACKAGES, File, Package, files

KERNEL_DEB, BOX_DEB = deb({"./boot/vmlinuz": b"kernel", "./lib/a.ko": b"module"}), deb({"./bin/busybox": b"box"})


def digest(data):
    return hashlib.sha256(data).hexdigest()


SMALL = (Package("kernel", "1", digest(KERNEL_DEB), "GPL"), Package("box", "2", digest(BOX_DEB), "GPL"))
FILES = (File("vmlinuz", "kernel", "boot/vmlinuz", digest(b"kernel")), File("modules/a.ko", "kernel", "lib/a.ko", digest(b"module")),
         File("busybox", "box", "bin/busybox", digest(b"box")))


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Two small packages in place of Debian's, and where their files are: {name: path}."""
    monkeypatch.setattr(kept, "PACKAGES", SMALL)
    monkeypatch.setattr(kept, "files", lambda: FILES)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    (tmp_path / "debs").mkdir()
    names = {}
    for name, data in (("kernel", KERNEL_DEB), ("box", BOX_DEB)):
        names[name] = tmp_path / "debs" / f"{name}.deb"
        names[name].write_bytes(data)
    return names


@pytest.fixture
def manager(small, monkeypatch, tmp_path):
    """A package manager that has the two, and writes down what it was asked; returns that file."""
    place = tmp_path / "bin"
    place.mkdir()
    program = place / "apt-get"
    program.write_text(f"#!/bin/sh\necho \"$PWD $*\" >> {tmp_path}/asked\nfor last; do :; done\n/bin/cp {tmp_path}/debs/${{last%%:*}}.deb .\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(place))
    return tmp_path / "asked"


def tree(folder):
    """{name: bytes} of all files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


WHOLE = {f"{kept.RELEASE}/{name}": data for name, data in (("vmlinuz", b"kernel"), ("modules/a.ko", b"module"), ("busybox", b"box"))}


def test_from_files(small, tmp_path):
    found = kept.get(tmp_path / "deep" / "cache", [str(path) for path in small.values()])
    assert tree(tmp_path / "deep" / "cache") == WHOLE and found.whole and found.modules == ["a"] and found.module("a") == b"module"
    assert found.read("vmlinuz") == b"kernel" == kept.find(tmp_path / "deep" / "cache").read("vmlinuz")


@posix
def test_from_the_package_manager(manager, tmp_path):
    kept.get(tmp_path / "cache")
    assert tree(tmp_path / "cache") == WHOLE and list((tmp_path / "cache").iterdir()) == [tmp_path / "cache" / kept.RELEASE]
    asked = manager.read_text().splitlines()
    assert [line.split()[-1] for line in asked] == ["kernel:amd64=1", "box:amd64=2"]
    assert all(line.startswith(str(tmp_path / "cache" / ".getting-")) and " download " in line for line in asked)
    kept.get(tmp_path / "cache")
    assert manager.read_text().splitlines() == asked          # what is there is not asked for again


@posix
def test_one_from_a_file_the_other_from_the_manager(manager, small, tmp_path):
    kept.get(tmp_path / "cache", [str(small["kernel"])])
    assert tree(tmp_path / "cache") == WHOLE and len(manager.read_text().splitlines()) == 1


def test_what_was_damaged_is_taken_anew(small, tmp_path):
    debs = [str(path) for path in small.values()]
    found = kept.get(tmp_path, debs)
    found.path("busybox").write_bytes(b"changed")
    with pytest.raises(ValueError, match="busybox: it has been changed since it was kept; remove .* and run: vmio linux get$"):
        found.read("busybox")
    assert not found.whole
    assert kept.get(tmp_path, debs).whole and not list(tmp_path.glob(".getting-*"))


def failing(tmp_path, script):
    """A package manager that does this."""
    program = tmp_path / "bin" / "apt-get"
    program.write_text(f"#!/bin/sh\n{script}\n")


@posix
@pytest.mark.parametrize("script, why", [
    ("echo 'E: Unable to locate package kernel' >&2; exit 100", "kernel: apt-get download has failed (Unable to locate package kernel); try "
     "apt-get update, or name the file of Debian's kernel 1 (amd64): --deb FILE"),
    ("exit 3", "kernel: apt-get download has failed (exit status 3); "), ("exit 0", "kernel: apt-get download has failed (exit status 0); "),
    ("echo other > kernel.deb", f"kernel: what was downloaded has the SHA-256 {digest(b'other' + chr(10).encode())}, not {SMALL[0].sha256}")])
def test_a_manager_that_fails(manager, tmp_path, script, why):
    failing(tmp_path, script)
    with pytest.raises(ValueError, match=f"^{re.escape(why)}"):
        kept.get(tmp_path / "cache")
    assert tree(tmp_path / "cache") == {} and list((tmp_path / "cache").iterdir()) == []


def test_without_a_package_manager(small, tmp_path):
    with pytest.raises(ValueError, match=r"^kernel: this system has no apt-get; download Debian's kernel 1 \(amd64\) and name it: --deb FILE$"):
        kept.get(tmp_path / "cache")
    with pytest.raises(ValueError, match="^box: this system has no apt-get"):
        kept.get(tmp_path / "cache", [str(small["kernel"])])
    assert list((tmp_path / "cache").iterdir()) == []


def test_files_that_are_others(small, tmp_path):
    other = tmp_path / "other.deb"
    other.write_bytes(b"x")
    with pytest.raises(ValueError, match=f"^--deb {re.escape(str(other))}: its SHA-256 is {digest(b'x')}; those of kernel 1 .* and box 2 .* are taken$"):
        kept.get(tmp_path / "cache", [str(other)])
    with pytest.raises(ValueError, match="^--deb .*: No such file or directory$"):
        kept.get(tmp_path / "cache", [str(tmp_path / "nowhere")])
    with pytest.raises(ValueError, match="^--deb .*: a .deb is an ordinary file of at most 268,435,456 bytes$"):
        kept.get(tmp_path / "cache", [str(tmp_path)])
    assert not (tmp_path / "cache").exists()


def test_a_package_that_has_other_files_than_it_had(small, monkeypatch, tmp_path):
    """Its sum is right and its files' are not: this table is wrong, and nothing is kept."""
    monkeypatch.setattr(kept, "files", lambda: (FILES[0]._replace(sha256="0" * 64), *FILES[1:]))
    with pytest.raises(ValueError, match="^kernel: boot/vmlinuz has the SHA-256 .*, not 0{64}$"):
        kept.get(tmp_path / "cache", [str(path) for path in small.values()])
    monkeypatch.setattr(kept, "files", lambda: (FILES[0]._replace(path="boot/other"), *FILES[1:]))
    with pytest.raises(ValueError, match="^kernel: there is no boot/other in it$"):
        kept.get(tmp_path / "cache", [str(path) for path in small.values()])
    assert tree(tmp_path / "cache") == {}


def test_a_folder_that_can_not_be(small, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="^cache .*: Not a directory$|^cache .*: File exists$"):
        kept.get(tmp_path / "file" / "cache", [])
    if hasattr(os, "geteuid") and os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(ValueError, match="^cache .*: the folder is write-protected; another one: --cache DIR$"):
            kept.get(tmp_path / "locked", [])


def test_nothing_there(tmp_path):
    with pytest.raises(ValueError, match=f"^there is no kernel in {re.escape(str(tmp_path))}: vmio linux get takes one from Debian$"):
        kept.find(tmp_path)


def test_an_unknown_module(small, tmp_path):
    found = kept.get(tmp_path, [str(path) for path in small.values()])
    with pytest.raises(ValueError, match="^module 'b': choose one of a$"):
        found.module("b")


def test_the_table_is_that_of_the_packages():
    assert {file.package for file in files()} == {package.name for package in PACKAGES} and len({file.name for file in files()}) == len(files())
    assert all(re.fullmatch("[0-9a-f]{64}", each.sha256) for each in (*files(), *PACKAGES))


def test_the_real_one():
    found = kernel()
    assert found.whole and found.read("vmlinuz")[0x202:0x206] == b"HdrS"


def test_the_command(tmp_path):
    cache = str(kernel().folder.parent)
    done = vmio("linux", "get", "--cache", cache, "--json")
    told = json.loads(done.stdout)
    assert told["schema"] == "vmio.linux/1" and told["release"] == "6.1.0-56-cloud-amd64" and told["files"]["busybox"] and done.returncode == 0
    assert "GPL-2.0-only" in vmio("linux", "get", "--cache", cache).stdout
    made = vmio("linux", "initrd", str(tmp_path / "a"), "--cache", cache, "--run", "ls", "--module", "libata dma=0")
    assert made.returncode == 0 and (tmp_path / "a").read_bytes()[:6] == b"070701"


@pytest.mark.parametrize("arguments, why", [
    (["get", "--deb", ""], "--deb: the name is empty"), (["get", "--cache", ""], "--cache: the name is empty"),
    (["get", "--deb", "/nowhere"], "--deb /nowhere: No such file"), (["initrd", ""], "--output: the name is empty"),
    (["initrd", "/nowhere/x"], "output /nowhere/x: there is no folder"), (["initrd", "x", "--cache", "/nowhere"], "there is no kernel in /nowhere")])
def test_the_command_refuses(arguments, why):
    refused(vmio("linux", *arguments), why)
