"""`vmio chain`: a chain of differencing disks is begun, shown and merged, and nothing that is there is touched."""

import gzip
import hashlib
import json
import os

import pytest

from vmio.__main__ import main
from vmio.experiments.pattern import pattern
from vmio.machine.media.chain import Layer
from vmio.machine.media.vhdx_write import write_layer
from vmio.machine.storage import Image

MIB = 1 << 20


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A folder with a raw image, a VHDX file of it, and two differencing disks over that, the second in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    raw = pattern(3)
    (tmp_path / "raw.img").write_bytes(bytes(raw.read(0, raw.sectors)))
    assert main(["chain", "merge", "raw.img", "base.vhdx"]) == 0
    layer = Layer("first")
    layer.own = {5: b"a" * 512, 6: b"b" * 512}
    layer.discard(100, 50)
    write_layer("a.vhdx", layer, "base.vhdx")
    (tmp_path / "deep").mkdir()
    assert main(["chain", "create", "deep/b.vhdx", "--parent", "a.vhdx"]) == 0
    return tmp_path


def sums(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def told(capsys, *args):
    capsys.readouterr()
    status = main(["chain", *args])
    out, err = capsys.readouterr()
    return status, out, err


def whole(path):
    with Image.open(path) as disk:
        return bytes(disk.read(0, disk.sectors))


def test_a_chain_is_shown_from_the_top_down(there, capsys):
    status, out, _ = told(capsys, "show", "deep/b.vhdx", "--json")
    found = json.loads(out)
    assert status == 0 and found["schema"] == "vmio.chain/1"
    assert [(os.path.basename(one["file"]), one["format"], one["disk_bytes"]) for one in found["files"]] == [
        ("b.vhdx", "VHDX", 3 * MIB), ("a.vhdx", "VHDX", 3 * MIB), ("base.vhdx", "VHDX", 3 * MIB)]
    assert all(one["file_bytes"] == os.path.getsize(one["file"]) for one in found["files"])
    assert found["files"][0]["file_bytes"] < found["files"][1]["file_bytes"], "an empty one has no blocks"
    text = told(capsys, "show", "deep/b.vhdx")[1]
    assert [line.split()[0] for line in text.splitlines()[2:]] == [one["file"] for one in found["files"]]


def test_what_is_no_chain_is_shown_too(there, capsys):
    (there / "raw.img.gz").write_bytes(gzip.compress((there / "raw.img").read_bytes()))
    for name, kind in (("raw.img", "raw"), ("raw.img.gz", "gzip"), ("base.vhdx", "VHDX")):
        (one,) = json.loads(told(capsys, "show", name, "--json")[1])["files"]
        assert (os.path.basename(one["file"]), one["format"], one["disk_bytes"]) == (name, kind, 3 * MIB)


def test_an_empty_child_shows_its_parent_and_a_merged_disk_all_layers(there, capsys):
    before = sums(there)
    expected = bytearray((there / "raw.img").read_bytes())
    expected[5 * 512:7 * 512] = b"a" * 512 + b"b" * 512
    expected[100 * 512:150 * 512] = bytes(50 * 512)
    assert whole("deep/b.vhdx") == whole("a.vhdx") == expected
    status, out, _ = told(capsys, "merge", "deep/b.vhdx", "one.vhdx", "--json")
    assert status == 0 and [one["file"] for one in json.loads(out)["files"]] == ["one.vhdx"]
    for name in ("base.vhdx", "a.vhdx", "deep/b.vhdx"):
        os.rename(name, name + ".away")
    assert whole("one.vhdx") == expected
    assert {path.name.removesuffix(".away"): digest for path, digest in sums(there).items() if path.name != "one.vhdx"} == {
        path.name: digest for path, digest in before.items()}


@pytest.mark.parametrize("args, words", [
    (("create", "a.vhdx", "--parent", "base.vhdx"), "output a.vhdx: something has that name, and it stays; choose another name"),
    (("merge", "deep/b.vhdx", "base.vhdx"), "output base.vhdx: something has that name, and it stays"),
    (("merge", "a.vhdx", "link.vhdx"), "output link.vhdx: something has that name"),
    (("create", "c.vhdx", "--parent", "raw.img"), "--parent raw.img: it is raw; only a VHDX file can be one: `vmio chain merge raw.img NEW.vhdx` makes one of it"),
    (("create", "c.vhdx", "--parent", "nowhere.vhdx"), "image nowhere.vhdx: No such file or directory"),
    (("create", "no/c.vhdx", "--parent", "base.vhdx"), "output no/c.vhdx: there is no folder"),
    (("create", "", "--parent", "base.vhdx"), "--output: the name is empty"),
    (("create", "c.vhdx", "--parent", ""), "--parent: the name is empty"),
    (("show", "nowhere"), "image nowhere: No such file or directory")])
def test_what_is_refused_in_a_sentence_and_leaves_everything_as_it_was(there, capsys, args, words):
    os.symlink("nothing", "link.vhdx")
    before = sums(there)
    status, out, err = told(capsys, *args)
    assert status == 2 and not out and words in err and err.count("\n") == 1
    assert sums(there) == before and os.readlink("link.vhdx") == "nothing" and not os.path.exists("c.vhdx")


def test_a_parent_that_is_missing_or_was_changed_is_refused(there, capsys):
    os.rename("base.vhdx", "kept.vhdx")
    status, out, err = told(capsys, "merge", "deep/b.vhdx", "one.vhdx")
    assert status == 2 and not out and "a.vhdx" in err and not os.path.exists("one.vhdx")
    (there / "other.img").write_bytes(bytes(3 * MIB))
    assert main(["chain", "merge", "other.img", "base.vhdx"]) == 0      # another disk at the parent's place
    status, out, err = told(capsys, "show", "deep/b.vhdx")
    assert status == 2 and not out and "a.vhdx" in err
    status, out, err = told(capsys, "create", "c.vhdx", "--parent", "a.vhdx")
    assert status == 2 and not os.path.exists("c.vhdx")
