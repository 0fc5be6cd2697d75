"""Finds the parent of a differencing disk.  Where it should be is the file's word; who it is gets checked."""

import ntpath
import os
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from vmio.machine.contracts import DiskFile
from vmio.machine.media.hostfile import HostFile
from vmio.machine.media.medium import Medium

MAX_CHAIN = 128    # differencing disks, one over the other

Chain: TypeAlias = tuple[tuple[int, int], ...]    # who the disks over this one are
Disk = TypeVar("Disk", bound=Medium)


def beside(file: DiskFile, path: str) -> str:
    """Return the host's path for a Windows path relative to the folder of `file`."""
    return os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(file.name)), path.replace("\\", os.sep)))


def absolute(file: DiskFile, path: str) -> list[str]:
    """Return the host's paths to try for an absolute Windows path: itself on Windows, and the same name beside `file`."""
    same_folder = beside(file, ntpath.basename(path))
    return [path, same_folder] if os.name == "nt" else [same_folder]


def open_parent(file: DiskFile, chain: Chain, places: Sequence[str], open_disk: Callable[[DiskFile, Chain], Disk],
                is_parent: Callable[[Disk], bool]) -> Disk:
    """Return the parent's medium: the first of `places` that `is_parent` knows.

    `chain` has the identities of the disks over `file`; `open_disk(file, chain)`
    makes a medium.  ValueError, naming the places, if it isn't there, is another
    disk, or is one of those over it.
    """
    if not isinstance(file, HostFile):
        raise ValueError(f"image {file.name}: is a differencing disk; its parent is looked for beside its file, "
                         "so give the file's path")
    chain = (*chain, _identity(file))
    if len(chain) > MAX_CHAIN:
        raise ValueError(f"image {file.name}: more than {MAX_CHAIN} differencing disks, one over the other")
    others = []
    for place in dict.fromkeys(places):
        try:
            there = os.path.exists(place)
        except ValueError:                      # a NUL in the name
            there = False
        if not there:
            continue
        below = HostFile.open(place)
        try:
            if _identity(below) in chain:
                raise ValueError(f"image {file.name}: its chain of parents comes back to {place}")
            parent = open_disk(below, chain)
            if is_parent(parent):
                return parent
        except BaseException:
            below.close()
            raise
        parent.close()
        others.append(place)
    if others:
        raise ValueError(f"image {file.name}: {', '.join(others)} is not the parent that it was made from, "
                         "or was written to since: the identifiers differ")
    raise ValueError(f"image {file.name}: is a differencing disk, and its parent is not at "
                     f"{' or '.join(repr(place) for place in dict.fromkeys(places)) or 'any place that it names'}")


def _identity(file: HostFile) -> tuple[int, int]:
    """What two names of one file have in common."""
    status = os.fstat(file.fd)
    return status.st_dev, status.st_ino
