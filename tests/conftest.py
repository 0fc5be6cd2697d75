"""For all tests: a panel raises what it would otherwise only show."""

import os

os.environ.setdefault("VMIO_STRICT", "1")
