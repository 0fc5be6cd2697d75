"""vmio as a wheel (PyPA, binary distribution format): the package with its data in it, the same bytes whenever and wherever it is made."""

import hashlib
import io
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path

LONG_AGO = (1980, 1, 1, 0, 0, 0)        # the earliest time that a zip archive can tell
PACKAGE, DATA = "vmio", "data"
LEFT_OUT = ("__pycache__", ".ipynb_checkpoints")


def contents(root: Path) -> dict[str, bytes]:
    """Return {name in the wheel: bytes} of a checkout's package, its data where an installed package looks for them (vmio/data.py)."""
    found = {}
    for folder, inside in ((PACKAGE, PACKAGE), (DATA, f"{PACKAGE}/files/{DATA}")):
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root / folder)
            if path.is_file() and not set(name.parts) & set(LEFT_OUT) and path.suffix != ".pyc":
                found[f"{inside}/{name.as_posix()}"] = path.read_bytes()
    return found


def wheel(root: Path, version: str) -> tuple[str, bytes]:
    """Return (file name, content) of the wheel of the checkout `root`."""
    about = f"{PACKAGE}-{version}.dist-info"
    files = contents(root)
    files[f"{about}/METADATA"] = f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version}\n".encode()
    files[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: vmio\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    lines = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{about}/RECORD"] = "\n".join([*lines, f"{about}/RECORD,,", ""]).encode()
    return f"{PACKAGE}-{version}-py3-none-any.whl", archive(files)


def archive(files: dict[str, bytes]) -> bytes:
    """Return a zip archive of {name: bytes}, in that order, that tells no time, user or system."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as packed:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.create_system, entry.external_attr, entry.compress_type = 3, 0o100644 << 16, zipfile.ZIP_DEFLATED
            packed.writestr(entry, data)
    return whole.getvalue()


def _digest(data: bytes) -> str:
    """A hash as RECORD has it."""
    return urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
