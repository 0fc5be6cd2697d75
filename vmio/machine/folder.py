"""A new folder of files, there whole or not at all.

All files are written into a folder of another name beside it, flushed to the
medium, and the folder is renamed when the last one is whole.  Whatever stops it
on the way leaves nothing; only after SIGKILL or a power cut a `.vmio-*.part`
stays beside it.  What has that name already is never touched.
"""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from itertools import count

from vmio.machine.contracts import Buffer, FileName


def write_new_folder(path: FileName, contents: Mapping[str, Buffer]) -> None:
    """Make a folder at `path` that holds `contents` {file's name: bytes}.

    Raises ValueError, and changes nothing, for an empty name, for one that something has, for one in a folder that
    is not there or is write-protected; OSError, with the folder's name, if it can't be written to its end.
    """
    name = os.fsdecode(path)
    place = _place(name)
    part = ""
    try:
        part = _beside(place)
        for each, data in contents.items():
            with open(os.path.join(part, each), "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        os.rename(part, place)
    except BaseException as error:
        if part:
            shutil.rmtree(part, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        if os.path.lexists(place):      # it came a moment ago
            raise ValueError(_taken(name)) from None
        raise OSError(f"output {name}: {error.strerror or error}; nothing was written") from error


def _place(name: str) -> str:
    """The absolute path of a folder that may be made; ValueError if it may not."""
    if not name:
        raise ValueError("output: the name is empty; a new folder's name is needed")
    if os.path.lexists(name):
        raise ValueError(_taken(name))
    place = os.path.abspath(name)
    parent = os.path.dirname(place)
    if not os.path.isdir(parent):
        raise ValueError(f"output {name}: there is no folder {parent}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ValueError(f"output {name}: the folder {parent} is write-protected")
    return place


def _taken(name: str) -> str:
    return f"output {name}: something has that name, and it stays; choose another name"


def _beside(place: str) -> str:
    """Make an empty folder in the same parent, as only within one file system is a rename atomic; returns its path."""
    for n in count():                   # one that SIGKILL left behind may have this name
        part = os.path.join(os.path.dirname(place), f".vmio-{os.getpid()}-{n}.part")
        with suppress(FileExistsError):
            os.mkdir(part)
            break
    return part
