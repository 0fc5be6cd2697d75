"""For all tests and the kernels they start: this checkout is `vmio`, and a panel raises what it would only show."""

import gc
import os
from pathlib import Path

os.environ.setdefault("VMIO_STRICT", "1")
os.environ.pop("VMIO_WORK", None)       # no test reads or writes a student's guesses
os.environ.pop("VMIO_SEED", None)       # the stored notebooks have the lessons' own numbers
# In front of nothing: what the user has there is for other Pythons.
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent)


def pytest_collection_finish():
    """The thousands of tests stay until the end: no look for rings, of which a machine's end causes many, needs to pass through them."""
    gc.collect()
    gc.freeze()
