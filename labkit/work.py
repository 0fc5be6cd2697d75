"""The student's own copies of the lessons: made once, without the answers that the stored outputs hold, never overwritten.

The lessons in notebooks/ stay as they came, with their outputs: they are what the tests run and what a web view shows.
"""

import glob
import hashlib
import io
import json
import os
import sys
import tempfile

from labkit import NotDone, Refusal

GUESSES = ".guesses.json"      # what the student predicted; vmio.lab.predict keeps it


def say(line):
    """Print one line of what is done."""
    print("lab.py: " + line)
    sys.stdout.flush()


def lessons(root):
    """Return the paths of the lessons as they came, in their order."""
    return sorted(glob.glob(os.path.join(glob.escape(root), "notebooks", "*.ipynb")))


def folder_of(root):
    """Return the folder for the student's copies: work/ in the checkout, or in the home where the checkout is not ours to write."""
    folder = os.path.join(root, "work")
    place = folder if os.path.isdir(folder) else root
    if os.access(place, os.W_OK | os.X_OK):
        return folder
    return os.path.join(os.path.expanduser("~"), "vmio-work")


def without_outputs(text, student=None):
    """Return a lesson's text as a student gets it: no outputs, no counts, from which lesson it was made and for which student."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    notebook["metadata"].pop("widgets", None)
    notebook["metadata"]["vmio_master"] = digest(text)
    return stamped(notebook, student)


def stamped(notebook, student):
    """Return a notebook's text with its student's name (but for "") and seed among its metadata, if there is a student."""
    if student:
        notebook["metadata"]["vmio_seed"] = student["seed"]
        if student["name"]:
            notebook["metadata"]["vmio_student"] = student["name"]
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def digest(text):
    """Return a few characters that another text has not."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def read(path):
    """Return a file's text."""
    with io.open(path, encoding="utf-8") as file:
        return file.read()


def put(text, path):
    """Write a new file, whole or not at all; returns False, and changes nothing, if something has that name."""
    if os.path.lexists(path):
        return False
    number, name = tempfile.mkstemp(".tmp", ".", os.path.dirname(path))
    try:
        with os.fdopen(number, "wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~umask())
        try:
            os.link(name, path)        # unlike a rename it replaces nothing, not even what came a moment ago
        except OSError:
            if os.path.lexists(path):
                return False
            os.rename(name, path)      # a file system without links
            name = None
        return True
    finally:
        if name is not None:
            os.remove(name)


def umask():
    """Return this process's umask."""
    mask = os.umask(0o22)
    os.umask(mask)
    return mask


def prepare(root, student=None, folder=None):
    """Make the copies that are missing, for `student` if given; returns their folder, `folder` if given.  Says which lessons are newer than a copy."""
    folder = folder or folder_of(root)
    try:
        os.makedirs(folder, exist_ok=True)
        made = sum(put(without_outputs(read(path), student), os.path.join(folder, os.path.basename(path))) for path in lessons(root))
    except OSError as error:
        raise NotDone("there is no place for your copies of the lessons: %s" % error)
    if made:
        say("%d lessons copied to %s: yours to write in, never overwritten" % (made, folder))
    for path in lessons(root):
        if newer(path, os.path.join(folder, os.path.basename(path))):
            say("lesson %s has changed since your copy was made; `python3 lab.py reset %s` takes the new one"
                % (os.path.basename(path), os.path.basename(path)[:2]))
    return folder


def newer(master, copy):
    """Return whether a copy was made from another version of its lesson; a file that isn't such a copy is not judged."""
    try:
        made_from = json.loads(read(copy))["metadata"]["vmio_master"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return made_from != digest(read(master))


def named(root, word):
    """Return the path of the lesson that a word names: its number, with or without zeros, or its file; raises Refusal."""
    known = [os.path.basename(path) for path in lessons(root)]
    for name in known:
        if word in (name, name[:-6], name[:2], name[:2].lower(), name[:2].lstrip("0") or "0"):
            return os.path.join(root, "notebooks", name)
    raise Refusal("there is no lesson '%s'; there are %s." % (word, ", ".join(name[:2] for name in known)))


def reset(root, master, ask, student=None):
    """Put a lesson back as it came, for `student` if given, if `ask(question)` says yes; the student's copy is kept beside it under another name."""
    folder = folder_of(root)
    copy = os.path.join(folder, os.path.basename(master))
    if not os.path.lexists(copy):
        say("there is no %s yet; `python3 lab.py` makes it" % copy)
        return 0
    number = 1
    while os.path.lexists(old_name(copy, number)):
        number += 1
    if not ask("Begin lesson %s anew? Yours goes to %s." % (os.path.basename(master), os.path.basename(old_name(copy, number)))):
        say("nothing was changed")
        return 1
    text = without_outputs(read(master), student)
    os.rename(copy, old_name(copy, number))
    put(text, copy)
    forget(folder, text)
    say("%s is as it came; what was there is %s" % (copy, old_name(copy, number)))
    return 0


def old_name(copy, number):
    """Return the name that a copy gets when its lesson begins anew."""
    return "%s.old-%d.ipynb" % (copy[:-6], number)


def forget(folder, text):
    """Take back the guesses whose questions a lesson asks."""
    path = os.path.join(folder, GUESSES)
    try:
        guesses = json.loads(read(path))
        kept = dict((slug, value) for slug, value in guesses.items() if 'predict(\\"%s\\"' % slug not in text)
    except (OSError, ValueError, AttributeError):
        return
    os.remove(path)
    put(json.dumps(kept, sort_keys=True), path)


def ask_at_terminal(question):
    """Return whether the answer to a question is yes; nobody there means no."""
    sys.stdout.write("lab.py: %s [y/N] " % question)
    sys.stdout.flush()
    return sys.stdin is not None and sys.stdin.readline().strip().lower() in ("y", "yes")
