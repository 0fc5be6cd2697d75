"""What the static site is made of, without a network or a browser: places, pins, the wheel, the lock, the lessons in it."""

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

import pytest

from labkit import NotDone, Refusal, site
from vmio.lessons.course import COURSE
from vmio.lessons.site import build, lock, wheel

ROOT = Path(__file__).parents[3]
LISTS = ROOT / "vmio" / "lessons" / "site"


def pretended(python):
    """Stands for `child.run` where everything works and nothing is done."""
    def run(command, environment, heard=None):
        if "venv" in command:
            path = Path(site.private_python.python_of(command[-1]))
            path.parent.mkdir(parents=True)
            path.write_text(python)
        if "vmio.lessons.site.build" in command:
            place = Path(command[command.index("vmio.lessons.site.build") + 1])
            place.mkdir()
            (place / site.OURS).write_text("{}")
            (place / "index.html").write_text("new")
        return 0, []
    return run


@pytest.fixture
def root(tmp_path):
    place = tmp_path / "vmio"
    (place / site.LISTS).mkdir(parents=True)
    for name in ("builder.txt", "wheels.txt", "runtime.json"):
        (place / site.LISTS / name).write_bytes((LISTS / name).read_bytes())
    return place


def test_a_site_of_ours_is_replaced_and_nothing_else(root, tmp_path):
    folder = tmp_path / "site"
    site.make(str(root), str(folder), "public", pretended(""))
    (folder / "index.html").write_text("old")
    site.make(str(root), str(folder), "public", pretended(""))
    assert (folder / "index.html").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site", "vmio"]      # nothing half made stays
    for other, said in ((tmp_path / "notes", "did not make"), (tmp_path / "file", "did not make"), (tmp_path / "no" / "where", "no folder")):
        if other.name == "notes":
            other.mkdir()
            (other / "mine.txt").write_text("mine")
        if other.name == "file":
            other.write_text("mine")
        with pytest.raises(Refusal, match=said):
            site.make(str(root), str(other), "public", pretended(""))
    assert (tmp_path / "notes" / "mine.txt").read_text() == (tmp_path / "file").read_text() == "mine"


def test_what_builds_it_is_made_once_in_a_place_of_its_own(root, tmp_path):
    first = site.set_up(str(root), pretended("first"))
    assert first == str(root / ".venv.site")
    assert site.set_up(str(root), pretended("second")) == first and "first" in Path(site.private_python.python_of(first)).read_text()
    with open(root / site.LISTS / "wheels.txt", "a") as file:
        file.write("# newer\n")
    site.set_up(str(root), pretended("third"))
    assert "third" in Path(site.private_python.python_of(first)).read_text()
    (root / ".venv.site" / site.private_python.STAMP).unlink()
    with pytest.raises(Refusal, match="lab.py did not make it"):
        site.set_up(str(root), pretended("fourth"))


def test_npm_is_not_believed(root, tmp_path, monkeypatch):
    def run(command, environment, heard=None):
        (tmp_path / "pyodide.tgz").write_bytes(b"something else")
        return 0, []
    monkeypatch.setattr(site.shutil, "which", lambda name: "/usr/bin/npm")
    with pytest.raises(NotDone, match="its hash differs"):
        site.runtime(str(root), "npm", str(tmp_path), run)
    monkeypatch.setattr(site.shutil, "which", lambda name: None)
    with pytest.raises(Refusal, match=r"there is no npm here; fetch the package pyodide@[0-9.]+ elsewhere"):
        site.runtime(str(root), "npm", str(tmp_path), run)


def test_a_folder_with_another_python_is_refused(tmp_path):
    with pytest.raises(ValueError, match="pyodide.mjs is not there"):
        build.check_runtime(tmp_path)
    for name in build.runtime()["files"]:
        (tmp_path / name).write_bytes(b"another")
    with pytest.raises(ValueError, match="pyodide.mjs is not that of pyodide"):
        build.check_runtime(tmp_path)


def test_every_part_is_pinned_with_its_hash():
    for name in ("builder.txt", "wheels.txt"):
        rows = [row for row in (LISTS / name).read_text().splitlines() if not row.startswith("#")]
        assert len(rows) > 5 and all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}", row) for row in rows)
    wanted = build.runtime()
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in (wanted["sha256"], *wanted["files"].values()))
    pins = dict(re.findall(r"^([a-z]+)==([0-9.]+)", (ROOT / "requirements.txt").read_text(), re.M))
    page = dict(re.findall(r"^([a-z]+)==([0-9.]+)", (LISTS / "wheels.txt").read_text(), re.M))
    assert {name: page[name] for name in ("anywidget", "ipywidgets", "simpy")} == {name: pins[name] for name in ("anywidget", "ipywidgets", "simpy")}
    assert wanted["optional"]["numpy"]["version"] == pins["numpy"]


def test_the_wheel_is_the_checkout_the_same_each_time():
    name, data = wheel.wheel(ROOT, "1.2")
    assert name == "vmio-1.2-py3-none-any.whl" and (name, data) == wheel.wheel(ROOT, "1.2")
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        names = set(packed.namelist())
        record = packed.read("vmio-1.2.dist-info/RECORD").decode().splitlines()
    assert {"vmio/__init__.py", "/".join((wheel.PACKAGE, "files", "data/traces/untar.csv")), "vmio/lessons/start_here/panel.py", "vmio/lab/static/card.js"} <= names
    assert any("/exercises/" in one and one.endswith("check.py") for one in names)
    assert not any("__pycache__" in one for one in names) and len(record) == len(names)


def test_a_lock_has_what_each_needs_and_no_more(tmp_path):
    files = {"one.py": b"", "two/__init__.py": b"", "demo_x-1.0.dist-info/METADATA":
             b"Metadata-Version: 2.1\nName: Demo_X\nVersion: 1.0\nRequires-Dist: simpy>=4\nRequires-Dist: pexpect\nRequires-Dist: black; extra == \"x\"\n\nText"}
    path = tmp_path / "demo_x-1.0-py3-none-any.whl"
    path.write_bytes(wheel.archive(files))
    one = lock.entry(path)
    assert (one["depends"], one["imports"]) == (["simpy", "pexpect"], ["one", "two"])
    assert one["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    whole = lock.lock({"python": "3"}, [one, {"name": "simpy", "depends": []}], {"simpy": ["demo-x"]})
    assert whole["packages"]["demo-x"]["depends"] == ["simpy"] and whole["packages"]["simpy"]["depends"] == ["demo-x"]
    with pytest.raises(ValueError, match="is no pure wheel"):
        lock.entry(tmp_path / "numpy-2-cp314-cp314-linux_x86_64.whl")


def test_lessons_come_without_answers_and_for_the_pages_kernel(tmp_path):
    build.add_lessons(tmp_path)
    listing = json.loads((tmp_path / "api" / "contents" / "all.json").read_text())
    assert [one["name"] for one in listing["content"]] == [COURSE.notebook(name) for name in COURSE.names]
    for one in listing["content"]:
        text = (tmp_path / "files" / one["name"]).read_bytes()
        notebook = json.loads(text)
        assert one["size"] == len(text) and notebook["metadata"]["kernelspec"]["name"] == "python"
        assert all(not cell.get("outputs") for cell in notebook["cells"])


@pytest.mark.parametrize("words, said", (
    (["0", "x"], "PORT is '0 x'"), (["http"], "PORT is 'http'"), (["70000"], "PORT is '70000'")))
def test_the_small_server_refuses_in_a_sentence(words, said, capsys):
    from vmio.lessons.site.static import serve
    assert serve.main(["--no-browser", *words]) == 2
    assert said in capsys.readouterr().err
