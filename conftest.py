"""For all tests and the kernels they start: this checkout is `vmio`, and a panel raises what it would only show."""

import os
from pathlib import Path

os.environ.setdefault("VMIO_STRICT", "1")
os.environ["PYTHONPATH"] = os.pathsep.join(
    part for part in (str(Path(__file__).resolve().parent), os.environ.get("PYTHONPATH")) if part)
