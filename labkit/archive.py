"""One archive for a room without a network: the course and all packages that it needs, for computers of this kind."""

import os
import tempfile
import zipfile

from labkit import NotDone, Refusal, venv as private_python
from labkit.venv import say

WHEELS = "wheels"       # beside lab.py: taken instead of the network
TOP = "vmio"            # the archive's one folder
LEFT = ("__pycache__", ".git", "work", "build", WHEELS, "node_modules")
KEPT = (".ci", ".github", ".gitignore", ".editorconfig")        # of what begins with a dot


def beside(root):
    """Return the folder of wheels that came with the course, or None."""
    folder = os.path.join(root, WHEELS)
    if os.path.isdir(folder) and any(name.endswith(".whl") for name in os.listdir(folder)):
        return folder
    return None


def ours(root):
    """Return the paths of the course's files below `root`, in order: nothing that was made there, nothing of a student's."""
    found = []
    for place, folders, names in os.walk(root):
        top = place == root
        folders[:] = sorted(name for name in folders if name not in LEFT and not name.endswith(".egg-info")
                            and (not name.startswith(".") or top and name in KEPT))
        found += [os.path.relpath(os.path.join(place, name), root) for name in sorted(names)
                  if not name.endswith(".pyc") and (not name.startswith(".") or top and name in KEPT)]
    return found


def pack(root, file, make_wheels):
    """Make the archive `file` (.zip), whole or not at all; `make_wheels(folder)` fills a folder.  Raises Refusal."""
    if not file.endswith(".zip"):
        raise Refusal("archive needs a file's name that ends with .zip; it is '%s'." % file)
    if os.path.lexists(file):
        raise Refusal("'%s' is there, and it stays; choose another name." % file)
    scratch = tempfile.mkdtemp(prefix="vmio-archive-")
    part = file + ".part"
    try:
        make_wheels(scratch)
        with zipfile.ZipFile(part, "x", zipfile.ZIP_DEFLATED) as packed:
            for name in ours(root):
                packed.write(os.path.join(root, name), os.path.join(TOP, name))
            for name in sorted(os.listdir(scratch)):
                packed.write(os.path.join(scratch, name), os.path.join(TOP, WHEELS, name), zipfile.ZIP_STORED)
        os.rename(part, file)
    except (OSError, zipfile.BadZipFile) as error:
        raise NotDone("the archive was not made: %s" % error)
    finally:
        private_python.remove(scratch)
        if os.path.exists(part):
            os.remove(part)
    say("%s, %d MB. There: unpack it, and in its folder: python3 lab.py" % (file, os.path.getsize(file) // 10**6))


def make(root, file, venv, run, collect):
    """Make the archive with the lab's packages, the tests' and the site's."""
    def fill(folder):
        private_python.make_wheels(venv, root, folder, run)
        collect(root, folder, run)
    pack(root, file, fill)
