"""The packages that a page's Python knows: Pyodide's lock file, made of the wheels that lie beside it.

At `import NAME` the kernel looks here which package that is, and fetches it with all that it needs; a file whose hash is
another is refused.  Source: Pyodide's documentation, "The lock file".
"""

import hashlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def plain(name: str) -> str:
    """Return a package's name as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def entry(wheel: Path) -> dict[str, Any]:
    """Return what the lock says of a pure wheel; ValueError for what is none."""
    if not wheel.name.endswith("-none-any.whl"):
        raise ValueError(f"{wheel.name} is no pure wheel; the page's Python can't run it")
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        about = next(name for name in names if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        lines = packed.read(about).decode("utf-8").split("\n\n", 1)[0].splitlines()
    fields = [line.split(": ", 1) for line in lines if ": " in line]
    needs = [plain(match[0]) for key, value in fields if key == "Requires-Dist" and "extra ==" not in value
             and (match := _NAME.match(value)) is not None]
    name, version = (next(value for key, value in fields if key == wanted) for wanted in ("Name", "Version"))
    return {"name": name, "version": version, "file_name": wheel.name, "install_dir": "site", "package_type": "package",
            "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(), "depends": needs, "imports": sorted(_modules(names)),
            "unvendored_tests": False}


def _modules(names: Iterable[str]) -> set[str]:
    """The top-level modules of a wheel that has these files."""
    tops = {name.split("/", 1)[0] if "/" in name else name for name in names if name.endswith(".py")}
    return {top.removesuffix(".py") for top in tops if not top.endswith((".data", ".dist-info"))}


def lock(info: Mapping[str, str], entries: Iterable[dict[str, Any]], needs: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """Return the lock of all `entries`; `needs` {package: packages} is what their own metadata doesn't say.

    A need that no entry fulfils is left out: it is for another system (pexpect), or never imported in a page.
    """
    packages = {plain(one["name"]): dict(one) for one in entries}
    for name, one in packages.items():
        wanted = [*one["depends"], *needs.get(name, ())]
        one["depends"] = sorted({plain(need) for need in wanted if plain(need) in packages} - {name})
    return {"info": dict(info), "packages": dict(sorted(packages.items()))}
