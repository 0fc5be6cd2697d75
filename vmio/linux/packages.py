"""Which kernel and which busybox: two packages of Debian 12, and what is kept of them (data/linux.csv)."""

import csv
from functools import cache
from typing import NamedTuple

from vmio import data


class Package(NamedTuple):
    """A package of Debian's; `sha256` is that of its .deb file."""

    name: str
    version: str
    sha256: str
    licence: str


RELEASE = "6.1.0-56-cloud-amd64"            # what the kernel calls itself
KERNEL = Package(f"linux-image-{RELEASE}", "6.1.192-2",
                 "e7d02b943971edcb8790e256c02cfab3bca6c3d37c1bf25392a57c71300615ee", "GPL-2.0-only")
BUSYBOX = Package("busybox-static", "1:1.35.0-4+deb12u1+b1",
                  "3d3fdbe91d4660c873e14b092c213fe81c1da6362daa236eb25d0171eb108744", "GPL-2.0-only")
PACKAGES = (KERNEL, BUSYBOX)
ARCHITECTURE = "amd64"


class File(NamedTuple):
    """A file that is kept: its name here, its package's name and its path there."""

    name: str
    package: str
    path: str
    sha256: str


@cache
def files() -> tuple[File, ...]:
    """Return all files that are kept, from data/linux.csv."""
    with data.path("linux.csv").open(newline="", encoding="utf-8") as table:
        return tuple(File(row["file"], row["package"], row["path"], row["sha256"]) for row in csv.DictReader(table))
