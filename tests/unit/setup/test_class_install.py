"""A class's server: the course copied for all to read, nothing of a student's overwritten, what can't be done said in a sentence."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from labkit import Refusal, classroom, work
from vmio import seed

ROOT = Path(__file__).parents[3]


@pytest.fixture
def course(tmp_path):
    """A course of two lessons, for all to read."""
    root = tmp_path / "checkout"
    for part in classroom.PARTS:
        if "." in part or part == "LICENSE":
            (root / part).parent.mkdir(exist_ok=True)
            (root / part).write_text(part)
        else:
            (root / part / "__pycache__").mkdir(parents=True)
            (root / part / "one.txt").write_text(part)
    for path in sorted((ROOT / "notebooks").glob("0[03]*.ipynb")):
        (root / "notebooks" / path.name).write_bytes(path.read_bytes())
    (root / "deploy" / "run").write_text("#!/bin/sh\n")
    (root / "deploy" / "run").chmod(0o700)
    (root / "work").mkdir()
    return Path(classroom.copy(str(root), str(tmp_path / "opt" / "course")))


def begin(course, home, **variables):
    variables = {"JUPYTERHUB_USER": "ada", classroom.OWN_NUMBERS: "1", **variables}
    return Path(classroom.begin(str(course), str(home), variables)), variables


def test_the_course_is_for_all_to_read_and_only_its_owner_writes(course):
    assert sorted(path.name for path in course.iterdir()) == sorted(classroom.PARTS)
    assert not list(course.rglob("__pycache__"))
    assert {oct(path.stat().st_mode & 0o777) for path in course.rglob("*") if path.is_file() and path.name != "run"} == {"0o644"}
    assert {oct(path.stat().st_mode & 0o777) for path in [*course.rglob("*"), course] if path.is_dir() or path.name == "run"} == {"0o755"}


def test_a_student_begins_with_copies_and_numbers_of_her_own(course, tmp_path):
    folder, told = begin(course, tmp_path)
    assert folder == tmp_path / "vmio-work" and told["VMIO_WORK"] == str(folder) and told["VMIO_SEED"] == str(seed.of("ada"))
    copies = sorted(folder.glob("*.ipynb"))
    assert [path.name for path in copies] == sorted(path.name for path in (course / "notebooks").glob("*.ipynb")) and len(copies) == 2
    assert all(json.loads(path.read_text())["metadata"]["vmio_seed"] == seed.of("ada") for path in copies)
    assert "import vmio.lab" in (Path(told["IPYTHONDIR"]) / "profile_default" / "startup" / "00-vmio.py").read_text()


def test_the_next_day_nothing_is_overwritten(course, tmp_path):
    folder, _ = begin(course, tmp_path)
    first, second = sorted(folder.glob("*.ipynb"))
    first.write_text("mine")
    second.unlink()
    begin(course, tmp_path)
    assert first.read_text() == "mine" and second.exists()


@pytest.mark.parametrize("variables", [{classroom.OWN_NUMBERS: "0"}, {"JUPYTERHUB_USER": "_._"}, {"JUPYTERHUB_USER": ""}])
def test_the_lessons_own_numbers_where_nobody_asks_for_others(course, tmp_path, variables):
    folder, told = begin(course, tmp_path, **variables)
    assert told["VMIO_SEED"] == "0" and "vmio_seed" not in json.loads(next(folder.glob("*.ipynb")).read_text())["metadata"]


def test_a_full_disk_leaves_what_is_there(course, tmp_path, monkeypatch, capsys):
    folder, _ = begin(course, tmp_path)
    kept = sorted(folder.glob("*.ipynb"))
    kept[0].unlink()

    def full(text, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    monkeypatch.setattr(work, "put", full)
    assert begin(course, tmp_path)[1]["VMIO_WORK"] == str(folder) and kept[1].exists()
    assert "No space left on device" in capsys.readouterr().out
    monkeypatch.setattr(os, "makedirs", lambda *more, **options: full("", "vmio-work"))
    (tmp_path / "other").mkdir()
    with pytest.raises(Refusal, match="there is no place for your copies of the lessons: .*No space left on device"):
        begin(course, tmp_path / "other")


def test_without_a_home_there_is_a_sentence(tmp_path):
    assert classroom.refusal("ada", str(tmp_path)) == ""
    assert classroom.refusal("ada", str(tmp_path / "gone")).startswith(f"The account ada has no home folder ({tmp_path / 'gone'}).")
    assert classroom.refusal("ada", "").startswith("The account ada has no home folder (none is known).")


@pytest.mark.parametrize("arguments, said", [
    ([], "usage: sudo python3 deploy/install.py FOLDER"), (["--help"], "usage: sudo python3"),
    (["HERE"], "is there already; name a new folder"), (["new"], "there is no npm here")])
def test_the_installer_refuses_with_a_sentence(tmp_path, arguments, said):
    arguments = [str(tmp_path) if one == "HERE" else one for one in arguments]
    done = subprocess.run([sys.executable, str(ROOT / "deploy" / "install.py"), *arguments], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "PATH": str(tmp_path)})
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_installation_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def refused(command, environment, heard=None):
        return 1, ["ERROR: no network"]
    monkeypatch.setattr(classroom.child, "run", refused)
    monkeypatch.setattr(classroom, "hidden", lambda path: "")
    with pytest.raises(Refusal, match="no Python was made in .*: ERROR: no network"):
        classroom.install(str(ROOT), str(tmp_path / "opt"), npm=sys.executable)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="modes are Unix's")
def test_a_place_that_students_may_not_enter_is_refused(tmp_path, monkeypatch):
    """As a Python in root's own home is, which a hub's students could not start."""
    (tmp_path / "own" / "python").mkdir(parents=True)
    (tmp_path / "own").chmod(0o700)
    assert classroom.hidden(str(tmp_path / "own" / "python")) in (str(tmp_path / "own"), *map(str, tmp_path.parents), str(tmp_path))
    assert classroom.hidden("/") == classroom.hidden("/usr") == ""
    monkeypatch.setattr(classroom, "hidden", lambda path: "/root")
    before = os.umask(0o022)
    os.umask(before)
    with pytest.raises(Refusal, match="students may not go into /root, and so not to this Python"):
        classroom.install(str(ROOT), str(tmp_path / "opt"), npm=sys.executable)
    assert not (tmp_path / "opt").exists() and os.umask(before) == before


def test_what_the_image_and_binder_name_is_there():
    """No container is built here: what the files name must exist, and be what a hub's setting says."""
    image = (ROOT / "deploy" / "Dockerfile").read_text()
    copied = {name for line in image.splitlines() if line.startswith("COPY ") for name in line.split()[1:-1]}
    assert copied == set(classroom.PARTS)
    told = dict(re.findall(r"(\w+)=(\S+)", image[image.index("ENV "):image.index("\nUSER")].replace("\\\n", "")))
    assert told == classroom.setting("/opt/vmio", own_numbers=True, progress=False)
    for script in ("postBuild", "start"):
        assert os.access(ROOT / "binder" / script, os.X_OK) or os.name == "nt"


def test_binders_start_makes_the_students_copies(tmp_path):
    """The server's configuration as repo2docker's server finds it: by the environment that binder/start sets."""
    code = ("import os, sys; from traitlets.config.loader import PyFileConfigLoader; "
            "print(PyFileConfigLoader('jupyter_server_config.py', os.environ['JUPYTER_CONFIG_PATH']).load_config().ServerApp.root_dir)")
    pytest.importorskip("traitlets")
    done = subprocess.run(["bash", str(ROOT / "binder" / "start"), sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "vmio-work") and len(list((tmp_path / "vmio-work").glob("*.ipynb"))) > 9
