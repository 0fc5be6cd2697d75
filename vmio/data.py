"""Where the course's real inputs lie: the checkout's data/ folder."""

from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data"


def path(name):
    """The path of data/`name`; FileNotFoundError tells what there is instead."""
    found = DATA / name
    if not found.exists():
        here = ", ".join(sorted(p.name for p in found.parent.glob("*"))) or "nothing"
        raise FileNotFoundError(f"no data file {name!r}; {found.parent.name}/ holds {here}")
    return found
