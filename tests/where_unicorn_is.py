"""Machine code runs where Unicorn is: an optional package, but not in CI.  For a folder's conftest."""

import os

import pytest

from vmio.processors.unicorn import package


@pytest.fixture(autouse=True)
def unicorn():
    """No Unicorn is a failure where machine code is promised (CI), and said aloud elsewhere."""
    missing = package.missing()
    if missing and os.environ.get("CI"):
        pytest.fail(missing)
    elif missing:
        pytest.skip(f"NO MACHINE CODE RUN: {missing}")
