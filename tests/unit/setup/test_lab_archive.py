"""The archive for a room without a network: the course, its wheels, nothing of anybody's."""

import zipfile
from pathlib import Path

import pytest

from labkit import NotDone, Refusal, archive

ROOT = Path(__file__).parents[3]


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "course"
    for name in ("lab.py", "room/one.py", "room/__pycache__/one.pyc", "work/mine.ipynb", ".venv/big", ".venv.site/big", ".git/config", ".gitignore", ".linux/k"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def wheels(folder):
    Path(folder, "numpy-1-py3-none-any.whl").write_bytes(b"wheel")


def test_it_holds_the_course_and_its_wheels_alone(root, tmp_path):
    archive.pack(str(root), str(tmp_path / "a.zip"), wheels)
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        assert sorted(packed.namelist()) == [f"{archive.TOP}/{name}" for name in (".gitignore", "lab.py", "room/one.py", "wheels/numpy-1-py3-none-any.whl")]
        packed.extractall(tmp_path / "there")
    assert archive.beside(str(root)) is None
    assert archive.beside(str(tmp_path / "there" / "vmio")) == str(tmp_path / "there" / "vmio" / "wheels")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "course", "there"]


def test_the_whole_course_is_in_it():
    found = {name.replace("\\", "/") for name in archive.ours(str(ROOT))}
    assert {"lab.py", "labkit/site.py", "requirements.txt", "tests/requirements.txt", "vmio/lessons/site/runtime.json", "data/published.csv", "LICENSE"} <= found
    assert not any(name.startswith((".git/", ".venv", "work/")) or "__pycache__" in name for name in found)


def test_nothing_is_replaced_and_nothing_half_is_left(root, tmp_path):
    (tmp_path / "mine.zip").write_text("mine")
    for name, said in (("mine.zip", "it stays"), ("a.tar", "ends with .zip")):
        with pytest.raises(Refusal, match=said):
            archive.pack(str(root), str(tmp_path / name), wheels)
    assert (tmp_path / "mine.zip").read_text() == "mine"

    def fails(folder):
        raise NotDone("the folder is not complete")
    with pytest.raises(NotDone):
        archive.pack(str(root), str(tmp_path / "b.zip"), fails)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["course", "mine.zip"]
