"""Where the files lie that the package reads: the one place that knows of checkouts and of installations.

A checkout keeps them at its top level, where students see them.  An installed
package has what it needs of them within itself (`setup.py` maps them).
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent
_FILES = _PACKAGE / "files"
_INSTALLED = _FILES.is_dir()

DATA = _FILES / "data" if _INSTALLED else _CHECKOUT / "data"
LESSONS = _PACKAGE / "lessons"              # NAME/exercises/SLUG/ are read as files
NOTEBOOKS = _CHECKOUT / "notebooks"         # an installation has none


def path(name: str) -> Path:
    """Return the path of data/`name`; FileNotFoundError tells what there is instead."""
    found = DATA / name
    if not found.exists():
        here = ", ".join(sorted(p.name for p in found.parent.glob("*"))) or "nothing"
        raise FileNotFoundError(f"no data file {name!r}; {found.parent.name}/ holds {here}")
    return found


def checkout(name: str = "") -> Path:
    """Return the path of `name` in the checkout that this package runs from; FileNotFoundError says that an installation has none."""
    found = _CHECKOUT / name
    if _INSTALLED or not found.exists():
        raise FileNotFoundError(f"{name} belongs to a checkout of vmio; this is an installation without one, in {_PACKAGE}")
    return found
