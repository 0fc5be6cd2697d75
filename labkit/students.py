"""Whose copies these are: a name given once, its seed, and both among the metadata of the student's notebooks.

The seed itself is made by vmio.seed, which is imported late: old Pythons can't read it.
"""

import json
import os
import shutil
import tempfile

from labkit import NotDone, Refusal, work

KEPT = ".student.json"      # {"name": ..., "seed": ...} in the folder of the copies


def kept(folder):
    """Return the student of a folder of copies, {"name", "seed"}, or None if nobody has said; raises Refusal for a spoilt file."""
    path = os.path.join(folder, KEPT)
    if not os.path.lexists(path):
        return None
    try:
        found = json.loads(work.read(path))
        student = {"name": "%s" % found["name"], "seed": int(found["seed"])}
    except (OSError, ValueError, KeyError, TypeError):
        raise Refusal("%s does not say whose lessons these are; say it again: python3 lab.py --student NAME" % path)
    return student


def chosen(folder, name, environment, ask):
    """Return the student that holds from now on, or None for the lessons' own numbers.

    `name` was given with --student, or is None.  Another one than the folder's is taken if `ask(question)` says yes.
    A seed in the `environment` needs no name, and must be the student's if there is one.  Raises Refusal.
    """
    from vmio import seed
    try:
        there = kept(folder)
    except Refusal:
        if name is None:
            raise
        there = None
    try:
        outer = seed.read(environment.get(seed.VARIABLE) or seed.DEFAULT)
        new = there if name is None else {"name": " ".join(name.split()), "seed": seed.of(name)}
    except ValueError as error:
        raise Refusal(str(error))
    if new is None:
        return {"name": "", "seed": outer} if outer else None
    if outer not in (seed.DEFAULT, new["seed"]):
        raise Refusal("%s is %d, and the seed of %s is %d; unset %s" % (seed.VARIABLE, outer, new["name"], new["seed"], seed.VARIABLE))
    if there and there["seed"] == new["seed"]:
        return there
    if there:
        if not ask("The lessons in %s are %s's. Make them %s's, with other numbers?" % (folder, there["name"], new["name"])):
            raise Refusal("nothing was changed; the lessons in %s stay %s's" % (folder, there["name"]))
    return new


def settle(root, folder, student):
    """Keep the student's name, and put name and seed into the copies that have none or have what the folder had before."""
    if student is None:
        return
    try:
        before = kept(folder)
    except Refusal:
        before = None
    path = os.path.join(folder, KEPT)
    if student["name"] and before != student:
        replace(json.dumps(student, sort_keys=True) + "\n", path)
    for master in work.lessons(root):
        copy = os.path.join(folder, os.path.basename(master))
        try:
            notebook = json.loads(work.read(copy))
            metadata = notebook["metadata"]
            ours = "vmio_master" in metadata and not os.path.islink(copy)
        except (OSError, ValueError, KeyError, TypeError):
            continue            # no copy of a lesson: it is not ours to judge
        has = metadata.get("vmio_seed")
        if not ours or has == student["seed"]:
            continue
        if has is None or before and has == before["seed"]:
            replace(work.stamped(notebook, student), copy)
        else:
            work.say("%s was made for %s; `python3 lab.py reset %s` makes one for %s"
                     % (copy, metadata.get("vmio_student") or "seed %s" % has, os.path.basename(copy)[:2], student["name"] or "this seed"))


def replace(text, path):
    """Put a text in the place of a file, whole or not at all."""
    try:
        number, name = tempfile.mkstemp(".tmp", ".", os.path.dirname(path))
        try:
            with os.fdopen(number, "wb") as file:
                file.write(text.encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
            if os.path.exists(path):
                shutil.copymode(path, name)
            else:
                os.chmod(name, 0o666 & ~work.umask())
            os.replace(name, path)
        except BaseException:
            os.remove(name)
            raise
    except OSError as error:
        raise NotDone("%s could not be written, and is what it was: %s" % (path, error))
