"""What is kept of the two packages: a folder that is there whole, or not at all; its files are checked whenever they are read."""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vmio import data, progress
from vmio.linux import apt, deb
from vmio.linux.packages import PACKAGES, RELEASE, File, Package, files
from vmio.machine import files as outputs

FOLDER = ".linux"           # in the checkout; git doesn't see it
_LARGEST = 1 << 28          # bytes of a .deb


class Kept:
    """The files in `folder`, by their names: "vmlinuz", "busybox", "modules/ata_piix.ko", ..."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Return where a file lies."""
        return self.folder / name

    def read(self, name: str) -> bytes:
        """Return a file's bytes.  ValueError if it isn't what was kept, OSError if it can't be read."""
        content = self.path(name).read_bytes()
        if _sum(content) != _entry(name).sha256:
            raise ValueError(f"{self.path(name)}: it has been changed since it was kept; remove {self.folder} and run: vmio linux get")
        return content

    @property
    def modules(self) -> list[str]:
        """The names of the modules, as the kernel's own tools have them."""
        return sorted(Path(file.name).stem for file in files() if file.name.startswith("modules/"))

    def module(self, name: str) -> bytes:
        """Return a module's bytes.  ValueError for one that is not kept."""
        if name not in self.modules:
            raise ValueError(f"module {name!r}: choose one of {', '.join(self.modules)}")
        return self.read(f"modules/{name}.ko")

    @property
    def whole(self) -> bool:
        """Whether all files are there, as they were kept."""
        try:
            return all(self.read(file.name) for file in files())
        except (OSError, ValueError):
            return False


def default_folder() -> Path:
    """Return the folder in the checkout; ValueError where there is no checkout."""
    try:
        return data.checkout() / FOLDER
    except FileNotFoundError:
        raise ValueError("this is an installation without a checkout: name a folder for kernel and busybox, --cache DIR") from None


def find(folder: Path | None = None) -> Kept:
    """Return what is kept in `folder` (None: in the checkout's); ValueError if it isn't there."""
    kept = Kept((folder or default_folder()) / RELEASE)
    if not kept.folder.is_dir():
        raise ValueError(f"there is no kernel in {kept.folder.parent}: vmio linux get takes one from Debian")
    return kept


def get(folder: Path | None = None, debs: Sequence[str] = ()) -> Kept:
    """Return what is kept, after taking it from `debs` (names of .deb files) and the package manager, if it is not there yet.

    ValueError and OSError, one sentence each; nothing has changed then.
    """
    folder = folder or default_folder()
    kept = Kept(folder / RELEASE)
    given = _given(debs)
    if kept.whole:
        return kept
    _make(folder)
    work = Path(tempfile.mkdtemp(prefix=".getting-", dir=folder))
    try:
        new = work / RELEASE
        with progress.bar(len(PACKAGES), "packages") as step:
            for package in PACKAGES:
                _keep(package, given.get(package.name) or _downloaded(package, work), new)
                step()
        if kept.folder.exists():
            kept.folder.rename(work / "damaged")
        try:
            new.rename(kept.folder)
        except OSError:
            if not kept.whole:          # else somebody else was faster
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return kept


def to_text(kept: Kept) -> str:
    """Return what is kept, and under which licence."""
    lines = [f"{package.name} {package.version}: {package.licence}" for package in PACKAGES]
    return "\n".join([f"{kept.folder}: kernel {RELEASE}, {len(kept.modules)} modules, busybox", *lines])


def to_dict(kept: Kept) -> dict[str, Any]:
    """Return the same as plain data."""
    return {"schema": "vmio.linux/1", "folder": str(kept.folder), "release": RELEASE,
            "packages": [package._asdict() for package in PACKAGES], "files": {file.name: file.sha256 for file in files()}}


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cache {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"cache {folder}: the folder is write-protected; another one: --cache DIR")


def _given(names: Sequence[str]) -> dict[str, bytes]:
    """{package: bytes} of the .deb files that the user names."""
    found = {}
    for name in names:
        try:
            about = os.stat(name)
            if not stat.S_ISREG(about.st_mode) or about.st_size > _LARGEST:
                raise ValueError(f"--deb {name}: a .deb is an ordinary file of at most {_LARGEST:,} bytes")
            content = Path(name).read_bytes()
        except OSError as error:
            raise ValueError(f"--deb {name}: {error.strerror}") from None
        package = next((each for each in PACKAGES if each.sha256 == _sum(content)), None)
        if package is None:
            known = " and ".join(f"{each.name} {each.version} ({each.sha256[:12]}...)" for each in PACKAGES)
            raise ValueError(f"--deb {name}: its SHA-256 is {_sum(content)}; those of {known} are taken")
        found[package.name] = content
    return found


def _downloaded(package: Package, work: Path) -> bytes:
    place = work / package.name
    place.mkdir()
    content = apt.download(package, place)
    if _sum(content) != package.sha256:
        raise ValueError(f"{package.name}: what was downloaded has the SHA-256 {_sum(content)}, not {package.sha256}")
    return content


def _keep(package: Package, content: bytes, folder: Path) -> None:
    """Write the package's files that are kept, each checked, into `folder`."""
    wanted = [file for file in files() if file.package == package.name]
    try:
        found = deb.contents(content, [file.path for file in wanted])
    except ValueError as error:
        raise ValueError(f"{package.name}: {error}") from None
    for file in wanted:
        if _sum(found[file.path]) != file.sha256:
            raise ValueError(f"{package.name}: {file.path} has the SHA-256 {_sum(found[file.path])}, not {file.sha256}")
        place = folder / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        with outputs.Output(place) as out:
            out.write(found[file.path])


def _entry(name: str) -> File:
    return next(file for file in files() if file.name == name)


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
