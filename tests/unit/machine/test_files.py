"""Outputs: the old file is there until the new one is whole, and what is not ours to replace is refused."""

import errno
import os
import signal
import stat
import subprocess
import sys

import pytest

from vmio.machine import files
from vmio.machine.files import Output
from vmio.machine.log import Log
from vmio.machine.overlay import Overlay
from vmio.machine.storage import SECTOR, Image

posix = pytest.mark.skipif(os.name != "posix", reason="files of these kinds are Unix's")
PATTERN = bytes(range(256)) * 2


class Disk:
    """A disk of 8 MiB that calls `then()` at its sixth read."""

    sectors = 6 * 2048

    def __init__(self, then):
        self.then = then

    def read(self, lba, count):
        if lba == 5 * 2048:
            self.then()
        return PATTERN * count


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "old"
    path.write_bytes(b"the old result")
    return path


def test_new_file_is_there_whole_with_the_rights_that_new_files_get(tmp_path):
    (tmp_path / "reference").write_bytes(b"")
    with Output(tmp_path / "new") as out:
        out.write(b"one ")
        out.write(b"two")
        assert names(tmp_path) != ["reference"] and "new" not in names(tmp_path)
    assert (tmp_path / "new").read_bytes() == b"one two" and names(tmp_path) == ["new", "reference"]
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "reference").stat().st_mode


def test_old_file_stays_until_the_block_ends_and_its_rights_stay_for_good(old):
    old.chmod(0o640)
    with Output(old) as out:
        out.write(b"new")
        out.flush()
        assert old.read_bytes() == b"the old result"
    assert old.read_bytes() == b"new" and names(old.parent) == ["old"]
    assert stat.S_IMODE(old.stat().st_mode) == (0o640 if os.name == "posix" else stat.S_IMODE(old.stat().st_mode))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_whatever_ends_the_block_leaves_the_old_file_and_nothing_else(old, error):
    with pytest.raises(error), Output(old) as out:
        out.write(b"half")
        raise error
    assert old.read_bytes() == b"the old result" and names(old.parent) == ["old"]


@pytest.mark.parametrize("step", ["write", "fsync", "replace", "fchmod"])
def test_an_error_of_any_step_names_the_file_and_leaves_the_old_one(old, monkeypatch, step):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")
    if step != "write":
        monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match=r"output .*old: No space left on device; what was there before is unchanged"):
        with Output(old) as out:
            if step == "write":
                out._file = type("Full", (), {"write": full, "close": lambda self: None})()
            out.write(b"new")
    assert old.read_bytes() == b"the old result" and names(old.parent) == ["old"]


def test_a_name_that_sigkill_left_behind_is_not_taken_again(old):
    left = old.with_name(f".vmio-{os.getpid()}-0.part")
    left.write_bytes(b"left")
    with Output(old) as out:
        out.write(b"new")
    assert old.read_bytes() == b"new" and left.read_bytes() == b"left"


def other_names(path):
    """{kind: another name of a file}."""
    hard, soft = path.with_name("hard"), path.with_name("soft")
    os.link(path, hard)
    soft.symlink_to(path.name)
    (path.parent / "folder").mkdir()
    return {"same": path, "hard link": hard, "symbolic link": soft, "dots": path.parent / "folder" / ".." / path.name,
            "relative": os.path.relpath(path), "bytes": os.fsencode(path)}


def test_an_input_is_refused_under_each_of_its_names(old):
    for kind, name in other_names(old).items():
        for inputs in ({"--image": old, "--trace": None}, {"--trace": name, "--image": "no such file"}):
            with pytest.raises(ValueError, match=r"same file as --(image|trace) .*choose another name"):
                Output(name, inputs)
        assert old.read_bytes() == b"the old result", kind


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="loop devices are root's")
def test_the_file_behind_a_loop_device_is_an_input_too(tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(PATTERN * 2048)
    done = subprocess.run(["losetup", "--find", "--show", disk], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no loop device: {done.stderr.strip()}")
    try:
        with pytest.raises(ValueError, match="same file as --image /dev/loop"):
            Output(disk, {"--image": done.stdout.strip()})
    finally:
        subprocess.run(["losetup", "--detach", done.stdout.strip()], check=True)


@posix
def test_a_symbolic_link_stays_one_and_leads_to_the_new_content(old):
    link = old.with_name("link")
    link.symlink_to("old")
    dangling = old.with_name("dangling")
    dangling.symlink_to("made")
    for name in (link, dangling):
        files.write_text(name, "new\n")
        assert name.is_symlink() and name.read_bytes() == b"new\n"
    assert old.read_bytes() == b"new\n" and names(old.parent) == ["dangling", "link", "made", "old"]


@posix
def test_of_two_hard_links_only_the_one_that_was_named_changes(old):
    os.link(old, old.with_name("other"))
    files.write_text(old, "new")
    assert old.read_bytes() == b"new" and old.with_name("other").read_bytes() == b"the old result"


@posix
def test_only_an_ordinary_file_is_replaced(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    for name, why in (("fifo", "a FIFO"), ("folder", "a folder"), ("folder/", "a folder"), (".", "a folder"), ("new/", "names a folder"),
                      ("none/new", "there is no folder"), ("fifo/new", "Not a directory"), ("loop", "Too many levels"),
                      ("n" * 300, "File name too long"), ("/dev/zero", "a character device")):
        with pytest.raises(ValueError, match=f"^output .*{why}"):
            Output(os.path.join(tmp_path, name))
    with pytest.raises(ValueError, match="the name is empty"):
        Output("")
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode) and names(tmp_path) == ["fifo", "folder", "loop"]


@posix
def test_what_is_write_protected_is_refused(old, monkeypatch):
    asked = []

    def access(path, mode):       # root may write everywhere, and these tests may be root's
        asked.append((path, mode))
        return path != protected
    monkeypatch.setattr(os, "access", access)
    protected = str(old)
    with pytest.raises(ValueError, match="the file is write-protected"):
        Output(old)
    protected = str(old.parent)
    with pytest.raises(ValueError, match="the folder .* is write-protected"):
        Output(old)
    assert (str(old), os.W_OK) in asked and (str(old.parent), os.W_OK | os.X_OK) in asked


def test_the_null_device_takes_everything():
    with Output(os.devnull, {"--image": os.devnull}) as out:
        out.write(b"x")
        out.skip(512)
    assert not stat.S_ISREG(os.stat(os.devnull).st_mode)


def test_text_is_utf8_with_unix_line_ends(tmp_path):
    files.write_text(tmp_path / "text", "ä\n")
    assert (tmp_path / "text").read_bytes() == b"\xc3\xa4\n"


@pytest.mark.parametrize("make", [lambda image: image, Overlay])
def test_a_saved_disk_is_equal_and_its_zeros_take_no_room(tmp_path, make):
    size = 8 << 20
    data = bytearray(size)
    data[:4] = b"head"
    data[5 << 20:(5 << 20) + SECTOR] = PATTERN
    disk = make(Image.open(data))
    disk.write(7 * 2048 + 3, b"\x77" * SECTOR)
    data[(7 * 2048 + 3) * SECTOR:(7 * 2048 + 4) * SECTOR] = b"\x77" * SECTOR
    disk.save(tmp_path / "out.img")
    assert (tmp_path / "out.img").read_bytes() == data
    assert (tmp_path / "out.img").stat().st_blocks * 512 <= 3 * (64 << 10)


def test_a_disk_with_a_hole_of_a_tebibyte_is_saved_without_reading_it(tmp_path, monkeypatch):
    with open(tmp_path / "disk.img", "wb") as file:
        for at in (1 << 20, 3 << 38):
            file.seek(at)
            file.write(PATTERN)
        file.truncate(1 << 40)
    with Image.open(tmp_path / "disk.img") as image:
        disk, read = Overlay(image), []
        disk.write((1 << 39) // SECTOR + 1, b"\x77" * SECTOR)
        disk.discard((3 << 38) // SECTOR, 1)
        monkeypatch.setattr(Overlay, "read", lambda self, lba, count=1, was=Overlay.read: read.append(count) or was(self, lba, count))
        disk.save(tmp_path / "out.img")
    assert sum(read) * SECTOR < 1 << 20
    assert (tmp_path / "out.img").stat().st_size == 1 << 40 and (tmp_path / "out.img").stat().st_blocks * 512 <= 1 << 20
    with open(tmp_path / "out.img", "rb") as saved:
        for at, holds in ((1 << 20, PATTERN), (1 << 39, bytes(SECTOR)), ((1 << 39) + SECTOR, b"\x77" * SECTOR), (3 << 38, bytes(SECTOR))):
            saved.seek(at)
            assert saved.read(SECTOR) == holds


def test_a_saved_disk_of_zeros_has_its_size(tmp_path):
    Image.open(bytes(3 * SECTOR)).save(tmp_path / "out.img")
    assert (tmp_path / "out.img").read_bytes() == bytes(3 * SECTOR)


def test_a_disk_that_cannot_be_read_leaves_the_old_file(old):
    def fail():
        raise OSError(errno.EIO, "Input/output error")
    with pytest.raises(OSError, match="Input/output error"):
        files.save(Disk(fail), old)
    assert old.read_bytes() == b"the old result" and names(old.parent) == ["old"]


@posix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_in_the_middle_the_old_file_is_whole(old, number):
    code = (f"import os, sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); from test_files import Disk; "
            f"from vmio import console; from vmio.machine import files; "
            f"sys.exit(console.run('save', lambda: files.save(Disk(lambda: os.kill(os.getpid(), {int(number)})), {str(old)!r})))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert old.read_bytes() == b"the old result"
    if number == signal.SIGTERM:
        assert (done.returncode, done.stderr) == (143, "save: ended by SIGTERM\n") and names(old.parent) == ["old"]
    else:
        assert done.returncode == -signal.SIGKILL and len(names(old.parent)) == 2


# Logs.


def test_a_new_log_is_seen_while_it_grows(tmp_path):
    for name in ("new", "empty"):
        path = tmp_path / name
        if name == "empty":
            path.touch()
        with Log(path) as log:
            assert path.read_bytes() == b""
            log.write(b"A")
            assert path.read_bytes() == b"A"
        assert path.read_bytes() == b"A" and not [name for name in names(tmp_path) if "vmio" in name]


@pytest.mark.parametrize("written, error, stays", [(b"A", None, False), (b"A", KeyboardInterrupt, False), (b"A", ValueError, True),
                                                   (b"", None, True), (b"", KeyboardInterrupt, True)])
def test_a_log_takes_the_old_ones_place_when_it_ends_and_holds_something(old, written, error, stays):
    try:
        with Log(old) as log:
            if written:
                log.write(written)
            assert old.read_bytes() == b"the old result"
            part, = old.parent.glob(".vmio-*.part")     # who looks finds it, and so does who comes after SIGKILL
            assert part.read_bytes() == written
            if error:
                raise error
    except (KeyboardInterrupt, ValueError):
        assert error
    assert old.read_bytes() == (b"the old result" if stays else b"A") and names(old.parent) == ["old"]


def test_an_input_is_no_log(old):
    for name in other_names(old).values():
        with pytest.raises(ValueError, match="same file as --drive"):
            Log(name, {"--drive": old})


@posix
def test_a_log_may_be_a_fifo_that_somebody_reads(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="output .*fifo: nobody reads this FIFO"), Log(tmp_path / "fifo"):
        pass
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    with Log(tmp_path / "fifo") as log:
        log.write(b"boot")
    assert os.read(reader, 9) == b"boot" and os.read(reader, 9) == b""
    with pytest.raises(OSError, match="output .*fifo: Broken pipe"), Log(tmp_path / "fifo") as log:
        os.close(reader)
        log.write(b"x")


@posix
def test_a_log_may_be_a_device_and_nothing_else(tmp_path):
    with Log(os.devnull) as log:
        log.write(b"x")
    with pytest.raises(OSError, match="output /dev/full: No space left on device"), Log("/dev/full") as log:
        log.write(b"x")
    with pytest.raises(ValueError, match="a folder"):
        Log(tmp_path)
