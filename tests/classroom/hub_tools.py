"""`python tests/classroom/hub_tools.py`: what the tests of a class on one server need, into .hub/ of this checkout.

An environment of its own, so that the lab's stays small: the hub and its packages as `deploy/requirements.txt` pins them (what
this Python has already is taken from it), and the hub's proxy, which needs Node.js.  Both come through pip's and npm's own settings.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from labkit import classroom  # noqa: E402
from labkit.venv import python_of  # noqa: E402

PINS = ROOT / "deploy" / "requirements.txt"


def place():
    """The folder of the tools: `VMIO_HUB`, or .hub/ in this checkout."""
    return Path(os.environ.get("VMIO_HUB") or ROOT / ".hub")


def wanted():
    """What the tools depend on, as one word."""
    pins = PINS.read_bytes() + (ROOT / "requirements.txt").read_bytes()
    return hashlib.sha256(pins + classroom.PROXY.encode() + sysconfig.get_path("purelib").encode() + sys.version.encode()).hexdigest()


def tools():
    """(the hub's Python, its proxy), or None if they aren't there or are of other versions."""
    stamp = place() / "stamp"
    if not stamp.exists() or stamp.read_text() != wanted():
        return None
    return Path(python_of(str(place() / "python"))), place() / "proxy" / "node_modules" / ".bin" / "configurable-http-proxy"


def install():
    """Make the folder anew; raises CalledProcessError or FileNotFoundError."""
    shutil.rmtree(place(), ignore_errors=True)
    python = python_of(str(place() / "python"))
    subprocess.run([sys.executable, "-m", "venv", place() / "python"], check=True)
    own = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], check=True, capture_output=True, text=True)
    Path(own.stdout.strip(), "behind.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", PINS], check=True)
    subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", place() / "proxy", classroom.PROXY], check=True)
    (place() / "stamp").write_text(wanted())


if __name__ == "__main__":
    if tools() is None:
        install()
    print(f"the hub's tools are in {place()}")
