"""Build the static site: `python -m vmio.lessons.site.build DIR --wheels DIR [--runtime public|DIR]`, as `lab.py site` calls it.

    DIR/index.html          the first page: it looks whether this browser can do it, and opens the first lesson
    DIR/files/              the lessons as students get them: no outputs, nothing of an answer
    DIR/pypi/               wheels, and the lock that lists them with their hashes
    DIR/static/pyodide/     Python as WebAssembly, unless the site takes it from the public address that is the kernel's default
    DIR/serve.py            a server for a stick or a folder, since browsers open no such page from a file
    DIR/vmio-site.json      says that the folder is ours, and what it was made of

The same checkout and the same parts give the same bytes.
"""

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from html import escape
from importlib import import_module
from pathlib import Path
from subprocess import run
from tempfile import TemporaryDirectory
from typing import Any

from labkit import work
from vmio import __version__, console, data
from vmio.lessons.course import COURSE
from vmio.lessons.site import lock, wheel

HERE = Path(__file__).parent
STATIC = HERE / "static"
OURS = "vmio-site.json"
PUBLIC = "public"
EPOCH = 315532800           # 1980: a time that every file of the site has, so that two builds are equal
KERNEL = "@jupyterlite/pyodide-kernel-extension"
PRELOADED = ("micropip", "piplite", "ipykernel", "comm", "pyodide-kernel", "jedi", "ipython", "vmio")
NEEDS = {"vmio": ("simpy", "ipywidgets", "anywidget")}      # numpy and matplotlib are fetched by whoever imports them
GUARD = '<script src="../guard.js"></script>\n  </head>'


def runtime() -> dict[str, Any]:
    """Return which Python as WebAssembly the site is made for (runtime.json)."""
    return json.loads((HERE / "runtime.json").read_text(encoding="utf-8"))


def check_runtime(folder: Path) -> None:
    """Raise ValueError, naming the file, unless `folder` has the files of just that Python."""
    wanted = runtime()
    for name, digest in wanted["files"].items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"--runtime is {str(folder)!r}, and {name} is not there; it must hold {wanted['package']} {wanted['version']}")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise ValueError(f"--runtime is {str(folder)!r}, and its {name} is not that of {wanted['package']} {wanted['version']} (its hash differs)")


def build(folder: Path, wheels: Path, source: str) -> None:
    """Make the site in `folder`, which does not exist yet, of the packages in `wheels`; Python comes from `source`, a folder or PUBLIC."""
    if source != PUBLIC:
        check_runtime(Path(source))
    with TemporaryDirectory(prefix="vmio-site-") as scratch:
        lite = Path(scratch, "lite")
        lite.mkdir()
        (lite / "jupyter-lite.json").write_text(json.dumps(settings(source)), encoding="utf-8")
        (lite / "overrides.json").write_text(json.dumps(OVERRIDES), encoding="utf-8")
        done = run([sys.executable, "-m", "jupyterlite_core", "build", "--lite-dir", str(lite), "--output-dir", str(folder), "--apps", "lab",
                    "--no-sourcemaps", "--no-unused-shared-packages", "--source-date-epoch", str(EPOCH)], capture_output=True, text=True, cwd=scratch)
    if done.returncode:
        raise ValueError("JupyterLite was not built: " + next((line for line in reversed((done.stdout + done.stderr).splitlines()) if line.strip()), ""))
    add_lessons(folder)
    add_packages(folder, wheels, source)
    add_pages(folder)
    parts = {"vmio": __version__, "runtime": runtime()["version"], "runtime from": "public" if source == PUBLIC else "this folder"}
    (folder / OURS).write_text(json.dumps(parts, indent=1) + "\n", encoding="utf-8")


OVERRIDES = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}


def settings(source: str) -> dict[str, Any]:
    """Return the site's configuration, as JupyterLite reads it."""
    kernel: dict[str, Any] = {"disablePyPIFallback": True, "loadPyodideOptions": {
        "lockFileURL": "./pypi/pyodide-lock.json", "packages": list(PRELOADED), "env": {"VMIO_WORK": "/drive", "HOME": "/home/pyodide", "PYTHONSAFEPATH": "1"}}}
    if source != PUBLIC:
        kernel["pyodideUrl"] = "./static/pyodide/pyodide.mjs"
    return {"jupyter-lite-schema-version": 0, "jupyter-config-data": {
        "appName": "vmio", "appVersion": __version__, "contentsAllJsonFile": "all.json",
        "litePluginSettings": {f"{KERNEL}:kernel": kernel}}}


def add_lessons(folder: Path) -> None:
    """Put the lessons where the page's file browser finds them: their bytes, and the list that a Jupyter server would answer with."""
    files, rows = folder / "files", []
    files.mkdir(exist_ok=True)
    when = "1980-01-01T00:00:00Z"
    for lesson in COURSE.lessons:
        name = COURSE.notebook(lesson.name)
        text = in_a_page((data.checkout("notebooks") / name).read_text(encoding="utf-8"))
        (files / name).write_bytes(text.encode())
        rows.append({"content": None, "created": when, "format": None, "hash": None, "hash_algorithm": None, "last_modified": when,
                     "mimetype": None, "name": name, "path": name, "size": len(text.encode()), "type": "notebook", "writable": True})
    listing = {"content": rows, "created": when, "format": "json", "hash": None, "hash_algorithm": None, "last_modified": when,
               "mimetype": None, "name": "", "path": "", "size": None, "type": "directory", "writable": True}
    (folder / "api" / "contents").mkdir(parents=True, exist_ok=True)
    (folder / "api" / "contents" / "all.json").write_text(json.dumps(listing, indent=1), encoding="utf-8")


def in_a_page(text: str) -> str:
    """Return a lesson as a page's student gets it: without outputs, for the kernel that the page has."""
    notebook = json.loads(work.without_outputs(text))
    notebook["metadata"]["kernelspec"] = {"name": "python", "display_name": "Python (Pyodide)", "language": "python"}
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def add_packages(folder: Path, wheels: Path, source: str) -> None:
    """Copy the wheels, vmio's among them, and Python itself if it is to be here; write the lock."""
    pypi, wanted = folder / "pypi", runtime()
    pypi.mkdir(exist_ok=True)
    own = folder / "extensions" / KERNEL / "static" / "pypi"
    for path in sorted([*wheels.glob("*.whl"), *own.glob("*.whl")]):
        shutil.copyfile(path, pypi / path.name)
    name, content = wheel.wheel(data.checkout(), __version__)
    (pypi / name).write_bytes(content)
    entries = [lock.entry(path) for path in sorted(pypi.glob("*.whl")) if not path.name.startswith("widgetsnbextension-3")]
    entries += [optional(one, pypi, source) for one in wanted["optional"].values() if present(one, source)]
    text = json.dumps(lock.lock(wanted["info"], entries, NEEDS), indent=1)
    (pypi / "pyodide-lock.json").write_text(text, encoding="utf-8")
    if source != PUBLIC:
        place = folder / "static" / "pyodide"
        place.mkdir(parents=True, exist_ok=True)
        for file in wanted["files"]:
            shutil.copyfile(Path(source, file), place / file)


def present(one: dict[str, Any], source: str) -> bool:
    """Return whether the source of Python has one of the packages that are made for it: the public one has all."""
    path = Path(source, one["file_name"])
    return source == PUBLIC or path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == one["sha256"]


def optional(one: dict[str, Any], pypi: Path, source: str) -> dict[str, Any]:
    """Return the lock's entry of a package made for this Python: copied from its folder, or fetched from where Python is fetched."""
    if source != PUBLIC:
        shutil.copyfile(Path(source, one["file_name"]), pypi / one["file_name"])
        return one
    address = import_module("jupyterlite_pyodide_kernel.constants").PYODIDE_CDN_URL
    return {**one, "file_name": f"{address}/{one['file_name']}"}


def add_pages(folder: Path) -> None:
    """Write the first page and the server, and let JupyterLab's page check what ours checks."""
    rows = "\n".join(f'<li><a href="lab/index.html?path={COURSE.notebook(one.name)}">{escape(COURSE.title(one.name))}</a>: {escape(one.do)}</li>'
                     for one in COURSE.lessons)
    first = (STATIC / "index.html").read_text(encoding="utf-8")
    first = first.replace("{first}", COURSE.notebook(COURSE.lessons[0].name)).replace("{lessons}", rows)
    (folder / "index.html").write_text(first, encoding="utf-8")
    for name in ("guard.js", "serve.py"):
        shutil.copyfile(STATIC / name, folder / name)
    lab = folder / "lab" / "index.html"
    page = lab.read_text(encoding="utf-8")
    if page.count("</head>") != 1:
        raise ValueError("JupyterLite's page is another one than this was written for: it has not one </head>")
    lab.write_text(page.replace("</head>", GUARD), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the site; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m vmio.lessons.site.build", description="The course as a folder of static files.")
    parser.add_argument("folder", metavar="DIR", type=Path, help="a new folder")
    parser.add_argument("--wheels", type=Path, required=True, help="a folder with what wheels.txt lists")
    parser.add_argument("--runtime", default=PUBLIC, help="where Python as WebAssembly comes from: public, or a folder")
    options = parser.parse_args(arguments)
    if options.folder.exists():
        raise ValueError(f"DIR is {str(options.folder)!r}, and something is there; the site needs a new folder")
    build(options.folder, options.wheels, options.runtime)
    return 0


if __name__ == "__main__":
    sys.exit(console.run("vmio.lessons.site.build", main))
