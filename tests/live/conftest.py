"""For the tests beside a live QEMU: their marker, their helper module, and what happens without a QEMU."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))


def pytest_configure(config):
    """Known to pytest, so that `-m "not qemu"` leaves these tests out."""
    config.addinivalue_line("markers", "qemu: drives a live qemu-system-x86_64 beside vmio")


@pytest.fixture(scope="session")
def installed():
    """No QEMU is a failure where the comparison is promised (CI), and said aloud elsewhere."""
    from qemu import missing
    reason = missing()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    elif reason:
        pytest.skip(reason)
