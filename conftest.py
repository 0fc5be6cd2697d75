"""For all tests and the kernels they start: this checkout is `vmio`, and a panel raises what it would only show."""

import os
from pathlib import Path

os.environ.setdefault("VMIO_STRICT", "1")
# In front of nothing: what the user has there is for other Pythons.
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent)
