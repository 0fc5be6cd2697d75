"""The package as pip installs it: built from a copy of the checkout, run from another folder without the checkout.

The fresh environments take numpy and the lab's packages from this Python's, so that only setuptools may have to be
fetched, with pip.  Where it can't be, the tests are skipped and say so; with CI=1 they fail.
"""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("ipywidgets")

import vmio
from vmio.lessons.course import COURSE

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
LEFT = ("build", "*.egg-info", "__pycache__", ".*")
PARTS = ("data", "docs", "notebooks", "tests", "vmio", "LICENSE", "MANIFEST.in", "README.md", "CONTRIBUTING.md", "conftest.py", "lab.py",
         "pyproject.toml", "requirements.txt", "setup.py")
# Runs a notebook's code cells and says for each that printed something what it was to print, and what it did.
CELLS = """
import contextlib, io, json, sys
space, printed = {}, []
for cell in json.load(open(sys.argv[1], encoding="utf-8"))["cells"]:
    if cell["cell_type"] == "code":
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec("".join(cell["source"]), space)
        stored = "".join("".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream")
        printed.append([stored, out.getvalue()])
import vmio
print(json.dumps([vmio.__file__, printed]))
"""


def python(*arguments, binary=sys.executable, cwd, **environment):
    """Run a Python that can't see this checkout; its output, or an AssertionError with what it said."""
    environment = {**{name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PIP_USER")},
                   "PIP_DISABLE_PIP_VERSION_CHECK": "1", "VMIO_STRICT": "1", "VMIO_KVM": "none", **environment}
    done = subprocess.run([str(binary), *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("package")


@pytest.fixture(scope="module")
def backend(place):
    """Environment variables with which a recent enough setuptools is found."""
    folder, wanted = place / "setuptools", "setuptools>=68"
    try:
        if int(importlib.metadata.version("setuptools").split(".")[0]) >= 68:
            return {}
    except importlib.metadata.PackageNotFoundError:
        pass
    try:
        python("-m", "pip", "install", "--target", folder, wanted, cwd=place)
    except AssertionError as error:
        why = f"{wanted} could not be fetched, so no wheel was built: {str(error).strip().splitlines()[-1]}"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    return {"PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def source(place):
    """A copy of the checkout, which building may write into."""
    folder = place / "source"
    folder.mkdir()
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(*LEFT))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def wheel_of(folder, out, backend):
    """The wheel that pip builds from `folder`."""
    python("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", out, folder, cwd=out.parent, **backend)
    return next(out.glob("vmio-*.whl"))


@pytest.fixture(scope="module")
def wheel(source, place, backend):
    return wheel_of(source, place / "wheel", backend)


def fresh(folder):
    """The Python of a new environment that has this one's packages behind its own, without what its .pth files add."""
    python("-m", "venv", "--without-pip", folder, cwd=folder.parent)
    binary = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    own = Path(python("-c", "import sysconfig; print(sysconfig.get_path('purelib'))", binary=binary, cwd=folder).strip())
    (own / "behind.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return binary


@pytest.fixture(scope="module")
def installed(wheel, place):
    binary = fresh(place / "installed")
    python("-m", "pip", "--python", binary, "install", "--no-deps", "--no-index", wheel, cwd=place)
    return binary


def contents(wheel):
    """{name: bytes} of a wheel without its metadata, and without what pip puts beside the packages."""
    with zipfile.ZipFile(wheel) as file:
        return {name: file.read(name) for name in file.namelist() if ".dist-info/" not in name and ".data/" not in name}


def test_wheel_holds_what_the_package_reads_and_nothing_else(wheel, source):
    places = {"vmio": "vmio", "data": "vmio/files/data"}
    wanted = {f"{inside}/{path.relative_to(source / part).as_posix()}": path.read_bytes()
              for part, inside in places.items() for path in (source / part).rglob("*") if path.is_file()}
    found = contents(wheel)
    assert sorted(found) == sorted(wanted), "a new kind of file needs a line in pyproject.toml's package-data"
    assert found == wanted


def test_sdist_makes_the_same_wheel(wheel, source, place, backend):
    python("-c", "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])", place / "sdist", cwd=source, **backend)
    with tarfile.open(next((place / "sdist").glob("vmio-*.tar.gz"))) as file:
        file.extractall(place / "unpacked", filter="data")
    unpacked = next((place / "unpacked").iterdir())
    assert (unpacked / "tests" / "unit" / "setup" / "test_package.py").is_file() and (unpacked / "lab.py").is_file()
    assert contents(wheel_of(unpacked, place / "wheel-of-sdist", backend)) == contents(wheel)


def test_command_and_module_say_what_the_checkout_says(installed, place):
    command = installed.with_name("vmio.exe" if os.name == "nt" else "vmio")
    here = subprocess.run([sys.executable, "-m", "vmio", "run", "--json"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for told in (python("run", "--json", binary=command, cwd=place.anchor),
                 python("-m", "vmio", "run", "--json", binary=installed, cwd=place.anchor)):
        assert json.loads(told) == json.loads(here) and json.loads(told)["sha256"]
    assert python("--version", binary=command, cwd=place) == f"vmio {vmio.__version__}\n"
    assert json.loads(python("bench", "--only", "start", "--json", binary=command, cwd=place))["start"]


def test_jupyterlab_finds_its_extension(installed, source):
    """What says of a panel without its kernel what to run is where JupyterLab and Notebook 7 look for extensions."""
    there = installed.parents[1] / "share" / "jupyter" / "labextensions" / "vmio"
    here = source / "vmio" / "lab" / "jupyter" / "labextensions" / "vmio"
    names = [path.relative_to(here) for path in here.rglob("*") if path.is_file()]
    assert len(names) == 2 and all((there / name).read_bytes() == (here / name).read_bytes() for name in names)


def test_import_is_small(installed, place):
    code = "import vmio, sys; print([name for name in ('numpy', 'simpy', 'matplotlib', 'ipywidgets', 'argparse') if name in sys.modules])"
    assert python("-c", code, binary=installed, cwd=place) == "[]\n"


@pytest.mark.parametrize("lesson", ["emulate_a_device", "compare_modes", "run_on_real_hardware"])
def test_lessons_run_from_another_folder(lesson, installed, place):
    script, notebook = place / "cells.py", place / COURSE.notebook(lesson)
    script.write_text(CELLS, encoding="utf-8")
    shutil.copy(ROOT / "notebooks" / notebook.name, notebook)
    where, printed = json.loads(python(script, notebook, binary=installed, cwd=place))
    assert Path(where).is_relative_to(place / "installed")
    assert any(stored for stored, _ in printed) and all(stored == now for stored, now in printed)


@pytest.mark.parametrize("module", ["vmio.lessons.build", "vmio.lessons.pictures"])
def test_what_needs_a_checkout_says_so(module, installed, place):
    done = subprocess.run([installed, "-m", module], cwd=place, capture_output=True, text=True,
                          env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"})
    assert done.returncode == 2
    assert "belongs to a checkout of vmio; this is an installation without one" in done.stderr and "Traceback" not in done.stderr


def test_editable_installation_follows_the_checkout(source, place, backend):
    folder = place / "followed"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*LEFT))
    binary = fresh(place / "editable")
    python("-m", "pip", "--python", binary, "install", "--no-deps", "--no-index", "--no-build-isolation", "-e", folder, cwd=place, **backend)
    (folder / "data" / "added.csv").write_text("time_us,op,lba,sectors\n", encoding="utf-8")
    code = ("from vmio import data; from vmio.lab import exercise; print(data.path('added.csv'), exercise('fetch-once').folder, "
            "data.path('published.csv'), sep='\\n')")
    assert python("-c", code, binary=binary, cwd=place).split("\n")[:3] == [
        str(folder / "data" / "added.csv"), str(folder / "vmio" / "lessons" / "break_isolation" / "exercises" / "fetch-once"), str(folder / "data" / "published.csv")]
