"""Takes a package from the system's own package manager, where that is Debian's: downloaded into a folder, nothing installed."""

import shutil
import subprocess
from pathlib import Path

from vmio.linux.packages import ARCHITECTURE, Package

_NO_CACHES = ("-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=")    # else it writes its own files, too


def download(package: Package, folder: Path) -> bytes:
    """Return the bytes of the package's .deb; `folder` is empty and is used meanwhile.

    ValueError, with what the package manager has said, if it can't be had.
    """
    program = shutil.which("apt-get")
    if program is None:
        raise ValueError(f"{package.name}: this system has no apt-get; download {described(package)} and name it: --deb FILE")
    done = subprocess.run([program, "-q", *_NO_CACHES, "download", f"{package.name}:{ARCHITECTURE}={package.version}"], cwd=folder,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    found = sorted(folder.glob("*.deb"))
    if done.returncode or not found:
        said = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith(("E:", "Err:"))]
        why = said[-1].split(":", 1)[1].strip() if said else f"exit status {done.returncode}"
        raise ValueError(f"{package.name}: apt-get download has failed ({why}); try apt-get update, or name the file "
                         f"of {described(package)}: --deb FILE")
    return found[0].read_bytes()


def described(package: Package) -> str:
    """Return which file it is."""
    return f"Debian's {package.name} {package.version} ({ARCHITECTURE})"
