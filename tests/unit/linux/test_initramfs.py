"""The initramfs: what is in it, the same bytes each time, its scripts run by busybox itself where it is there."""

import hashlib
import re
import subprocess

import pytest

from tests.linux_files import kernel
from tests.unit.linux.test_cpio import fields
from vmio.linux import initramfs
from vmio.linux.initramfs import APPLETS, build


class Few:
    """What is kept, in small."""

    def __init__(self):
        from tests.packages import module
        self.files = {"disk": module(b"depends=low\0"), "low": module(b"depends=\0"), "other": module(b"depends=\0")}

    def module(self, name):
        return self.files[name]

    def read(self, name):
        assert name == "busybox"
        return b"busybox"


def made(*arguments, **more):
    return {name: (numbers[1], data) for name, numbers, data in fields(build(Few(), *arguments, **more))}


def test_what_is_in_it():
    found = made(["ls /", "mark x"], ["disk speed=1 x", "other"])
    assert found["etc/modules"] == (0o100644, b"low\ndisk speed=1 x\nother\n") and found["etc/commands"] == (0o100644, b"ls /\nmark x\n")
    assert found["bin/busybox"] == (0o100755, b"busybox") and found["bin/sh"] == (0o120777, b"busybox")
    assert found["init"][0] == found["bin/mark"][0] == 0o100755 and found["modules/low.ko"][1] == Few().files["low"]
    names = list(found)
    assert all(names.index(name.rpartition("/")[0]) < names.index(name) for name in names if "/" in name)     # a folder before what is in it
    assert found["dev/console"][0] == 0o020600 and not any(name.startswith("modules/") for name in made(modules=[]))


def test_without_commands_there_is_a_shell():
    assert "etc/commands" not in made(modules=[]) and b"cttyhack sh" in made(modules=[])["init"][1]


def test_the_same_bytes_each_time():
    assert build(Few(), ["ls"], ["disk"]) == build(Few(), ["ls"], ["disk"]) != build(Few(), ["ls "], ["disk"])


@pytest.mark.parametrize("commands, modules, why", [
    ([""], [], "command '': one line of printable characters is needed"), (["a\nb"], [], "command 'a\\nb': one line of printable characters is needed"),
    ([], ["a\0"], "module 'a\\x00': one line of printable characters is needed"), ([], [" "], "module ' ': one line of printable characters is needed")])
def test_what_is_refused(commands, modules, why):
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        build(Few(), commands, modules)


def test_the_real_one_is_the_same_on_every_machine():
    found = build(kernel(), ["md5sum /dev/sda"])
    assert len(found) == 4_184_688
    assert hashlib.sha256(found).hexdigest() == "62d822d94bf6a29d92418d80e83f470f621f7cf5ff7a9d0c744f6fe04ebbef79"



@pytest.fixture(scope="module")
def box(tmp_path_factory):
    """busybox as a program that can be run; skipped where it can't (it is Linux's, for x86-64)."""
    place = tmp_path_factory.mktemp("box") / "busybox"
    place.write_bytes(kernel().read("busybox"))
    place.chmod(0o755)
    try:
        subprocess.run([place, "true"], check=True)
    except OSError as error:
        pytest.skip(f"NOT RUN: this system doesn't run busybox: {error.strerror}")
    return place


def test_busybox_has_every_program_that_we_name(box):
    listed = subprocess.run([box, "--list"], capture_output=True, text=True, check=True).stdout.split()
    assert set(APPLETS) <= set(listed) and len(set(APPLETS)) == len(APPLETS) and list(APPLETS) == sorted(APPLETS)


def test_busybox_unpacks_it(box, tmp_path):
    listed = subprocess.run([box, "cpio", "-t"], input=build(kernel(), ["ls"]), capture_output=True, check=True).stdout.decode().split("\n")
    assert {"init", "bin/busybox", "dev/console", "modules/hv_storvsc.ko", "etc/commands"} <= set(listed)


@pytest.mark.parametrize("script", [initramfs.FIRST, initramfs.MARKING, initramfs.WAITING])
def test_busybox_understands_the_scripts(box, script):
    done = subprocess.run([box, "sh", "-n"], input=script, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_waiting(box, tmp_path):
    (tmp_path / "here").touch()
    script = initramfs.WAITING.replace("sleep 0.1", "touch there").replace("-le 100", "-le 3")
    def run(*names):
        return subprocess.run([box, "sh", "-c", script, "await", *names], cwd=tmp_path, capture_output=True, text=True)
    assert run("here").returncode == 0 and not (tmp_path / "there").exists()
    assert run("here", "there").returncode == 0 and (tmp_path / "there").exists()
    done = run("here", "nowhere")
    assert (done.returncode, done.stderr) == (1, "await: there is no nowhere\n")
