"""A folder that is written whole or not at all, and never over anything."""

import errno
import os

import pytest

from vmio.machine import folder
from vmio.machine.folder import write_new_folder

FILES = {"report.md": b"# one\n", "01-two.csv": b"a,b\n1,2\n", "empty": b""}


def found(place):
    return {name: (place / name).read_bytes() for name in sorted(os.listdir(place))}


def test_all_files_are_there(tmp_path, monkeypatch):
    write_new_folder(tmp_path / "mine ü", FILES)
    assert found(tmp_path / "mine ü") == FILES and os.listdir(tmp_path) == ["mine ü"]
    monkeypatch.chdir(tmp_path)
    write_new_folder("here/", {})
    assert os.listdir("here") == []


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_has_the_name_stays(tmp_path, kind):
    place = tmp_path / "mine"
    if kind == "file":
        place.write_bytes(b"old")
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="mine: something has that name, and it stays; choose another name"):
        write_new_folder(place, FILES)
    assert os.listdir(tmp_path) == ["mine"] and (kind != "file" or place.read_bytes() == b"old")


def test_names_that_can_be_none(tmp_path):
    with pytest.raises(ValueError, match="the name is empty"):
        write_new_folder("", FILES)
    with pytest.raises(ValueError, match="there is no folder .*none"):
        write_new_folder(tmp_path / "none" / "mine", FILES)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_may_not_be_written_in_is_said_before_anything_is_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(folder.os, "access", lambda path, mode: False)      # for root, too
    with pytest.raises(ValueError, match="is write-protected"):
        write_new_folder(tmp_path / "mine", FILES)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("where", ["fsync", "rename", "mkdir"])
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, where):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(folder.os, where, full)
    with pytest.raises(OSError, match="mine: No space left on device; nothing was written"):
        write_new_folder(tmp_path / "mine", FILES)
    assert os.listdir(tmp_path) == []


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(folder.os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_new_folder(tmp_path / "mine", FILES)
    assert os.listdir(tmp_path) == []


def test_what_came_a_moment_ago_stays(tmp_path, monkeypatch):
    place, fsync = tmp_path / "mine", os.fsync

    def meanwhile(number):
        place.mkdir(exist_ok=True)
        (place / "theirs").write_bytes(b"theirs")
        fsync(number)
    monkeypatch.setattr(folder.os, "fsync", meanwhile)
    with pytest.raises(ValueError, match="something has that name, and it stays"):
        write_new_folder(place, FILES)
    assert found(place) == {"theirs": b"theirs"} and os.listdir(tmp_path) == ["mine"]


def test_a_part_that_was_left_behind_is_left_alone(tmp_path):
    left = tmp_path / f".vmio-{os.getpid()}-0.part"
    left.mkdir()
    write_new_folder(tmp_path / "mine", FILES)
    assert sorted(os.listdir(tmp_path)) == sorted([left.name, "mine"]) and os.listdir(left) == []
