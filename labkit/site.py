"""`lab.py site` and `lab.py pages`: the course as files for a browser.  What builds the site is installed in an environment of its own."""

import glob
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import uuid

from labkit import NotDone, Refusal, environment, pip, venv as private_python
from labkit.venv import say, step

BUILDERS = ".venv.site"         # beside .venv
OURS = "vmio-site.json"         # in each site that we made
LISTS = os.path.join("vmio", "lessons", "site")
PAGE_SIDE = ("anywidget", "jupyterlab_widgets")     # what the widgets need in the page is in their wheels
FOR_THE_PAGE = ["--python-version", "3.14", "--implementation", "py", "--abi", "none", "--platform", "any", "--only-binary=:all:"]


def lists(root):
    """Return the files that pin what the site is made of: what builds it, what the page loads."""
    return os.path.join(root, LISTS, "builder.txt"), os.path.join(root, LISTS, "wheels.txt")


def refuse_place(folder):
    """Raise Refusal unless `folder` is new, empty, or a site that we made."""
    if os.path.lexists(folder) and not (os.path.isdir(folder) and (not os.listdir(folder) or os.path.isfile(os.path.join(folder, OURS)))):
        raise Refusal("DIR is '%s', and something is there that lab.py did not make; name a new folder." % folder)
    parent = os.path.dirname(folder)
    if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
        raise Refusal("DIR is '%s', and you can't make it: there is no folder %s that you may write to." % (folder, parent))


def fingerprint(root):
    """Return what the builders' environment depends on."""
    return "".join(private_python.fingerprint(file) for file in lists(root))


def set_up(root, run, wheels=None):
    """Make the builders' environment, with the page's wheels in it, unless it is there for just these pins; returns its folder."""
    place = os.path.join(root, BUILDERS)
    if private_python.content(place, private_python.STAMP) == fingerprint(root) and os.path.exists(private_python.python_of(place)):
        return place
    if os.path.lexists(place) and private_python.content(place, private_python.STAMP) is None:
        raise Refusal("%s is there, and lab.py did not make it; rename it." % place)
    new = "%s.new-%s" % (place, uuid.uuid4().hex[:8])
    python = private_python.python_of(new)
    builder, page = lists(root)
    try:
        say("making an environment for what builds the site in %s" % BUILDERS)
        step([sys.executable, "-I", "-m", "venv", "--prompt", "vmio-site", new], run, new)
        pip.install(python, new, [builder], os.environ, run, wheels, ["--no-deps", "--require-hashes"])
        fetch(python, new, page, os.path.join(new, "wheels"), run, wheels)
        known = [path for name in PAGE_SIDE for path in glob.glob(os.path.join(glob.escape(new), "wheels", name + "-*.whl"))]
        code, lines = run(pip.inside(python, new, "pip") + ["install", "--no-index", "--no-deps"] + known, environment.without_foreign(os.environ))
        if code:
            raise NotDone("the widgets were not installed: " + pip.reason(lines, code, new))
        private_python.write(fingerprint(root), new, private_python.STAMP)
        if os.path.lexists(place):
            shutil.rmtree(place)
        os.rename(new, place)
    finally:
        private_python.remove(new)
    return place


def fetch(python, venv, page, folder, run, wheels=None):
    """Fill `folder` with the wheels that the page loads, each with its pinned hash; raises NotDone."""
    inner = pip.user_settings(python, venv, os.environ, run)
    command = pip.inside(python, venv, "pip") + ["download", "--no-deps", "--require-hashes", "--dest", folder, "-r", page] + FOR_THE_PAGE
    if wheels:
        for name in ("INDEX_URL", "PYPI_URL", "EXTRA_INDEX_URL", "FIND_LINKS"):
            inner.pop("PIP_" + name, None)
        command += ["--no-index", "--find-links", wheels]
    code, lines = run(command, inner)
    if code:
        raise NotDone("the page's packages were not fetched: " + pip.reason(lines, code, venv, wheels))


def collect(root, folder, run):
    """Add to a folder of wheels what the site needs: what builds it and what its page loads."""
    venv = set_up(root, run)
    python = private_python.python_of(venv)
    builder, page = lists(root)
    inner = pip.user_settings(python, venv, os.environ, run)
    code, lines = run(pip.inside(python, venv, "pip") + ["download", "--no-deps", "--require-hashes", "--dest", folder, "-r", builder], inner)
    if code:
        raise NotDone("the folder is not complete: " + pip.reason(lines, code, folder))
    fetch(python, venv, page, folder, run)


def runtime(root, source, scratch, run):
    """Return where the page's Python comes from, as build.py takes it: "public", or a folder; "npm" is fetched into `scratch` first."""
    if source != "npm":
        return source
    with io.open(os.path.join(root, LISTS, "runtime.json"), encoding="utf-8") as file:
        wanted = json.load(file)
    name = "%s@%s" % (wanted["package"], wanted["version"])
    program = shutil.which("npm")
    if program is None:
        raise Refusal("--runtime is npm, and there is no npm here; fetch the package %s elsewhere, unpack it, and name its folder." % name)
    say("fetching %s" % name)
    try:
        code, lines = run([program, "pack", name, "--silent", "--pack-destination", scratch], dict(os.environ))
    except OSError as error:
        raise NotDone("npm can't be run: %s" % error)
    found = glob.glob(os.path.join(glob.escape(scratch), "*.tgz"))
    if code or len(found) != 1:
        raise NotDone("npm did not fetch %s: %s" % (name, pip.last_words(lines)))
    with open(found[0], "rb") as file:
        if hashlib.sha256(file.read()).hexdigest() != wanted["sha256"]:
            raise NotDone("what npm fetched is not the %s that is pinned: its hash differs." % name)
    with tarfile.open(found[0]) as packed:
        for file in wanted["files"]:
            with packed.extractfile("package/" + file) as inside, open(os.path.join(scratch, file), "wb") as out:
                shutil.copyfileobj(inside, out)
    return scratch


def make(root, folder, source, run, wheels=None):
    """Build the site and put it at `folder` when it is whole; raises Refusal."""
    refuse_place(folder)
    venv = set_up(root, run, wheels)
    new = "%s.new-%s" % (folder, uuid.uuid4().hex[:8])
    scratch = tempfile.mkdtemp(prefix="vmio-site-")
    try:
        where = runtime(root, source, scratch, run)
        say("building the site")
        inner = environment.without_foreign(os.environ)
        inner["PYTHONPATH"] = root
        code, lines = run([private_python.python_of(venv), "-m", "vmio.lessons.site.build", new,
                           "--wheels", os.path.join(venv, "wheels"), "--runtime", where], inner)
        if code:
            raise NotDone(pip.last_words(lines) if code != 2 else lines[-1].split(": ", 1)[-1])
        if os.path.lexists(folder):
            old = "%s.old-%s" % (folder, uuid.uuid4().hex[:8])
            os.rename(folder, old)
            os.rename(new, folder)
            shutil.rmtree(old)
        else:
            os.rename(new, folder)
    finally:
        private_python.remove(new)
        private_python.remove(scratch)
    count, size = measured(folder)
    say("%d files, %d MB in %s. Here: python3 %s; for others: copy the folder to any web server"
        % (count, size // 10**6, folder, os.path.join(folder, "serve.py")))


def measured(folder):
    """Return (files, bytes) of a folder."""
    sizes = [os.path.getsize(os.path.join(place, name)) for place, _, names in os.walk(folder) for name in names]
    return len(sizes), sum(sizes)
