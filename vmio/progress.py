"""A bar for what takes longer than two seconds: on a terminal or in a notebook, if tqdm is installed; else there is none.

It goes to standard error, so results on standard output stay as they are, and where output is judged (VMIO_STRICT=1) nothing is
shown: two runs never take equally long.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

AFTER_S = 2     # what ends before is not worth a bar


@contextmanager
def bar(total: int, what: str = "") -> Iterator[Callable[[], object]]:
    """Within the block there is a bar of `total` steps, named `what`; what it gives is called after each step."""
    kind = _kind()
    if kind is None:
        yield lambda: None
        return
    shown = kind(total=total, desc=what or None, delay=AFTER_S, leave=False, file=sys.stderr)
    try:
        yield shown.update
    finally:
        shown.close()


def _kind() -> Callable | None:
    """Which of tqdm's bars can be seen where this runs; None if none can."""
    notebook = "ipykernel" in sys.modules
    if os.environ.get("VMIO_STRICT") == "1" or not (notebook or (sys.stderr is not None and sys.stderr.isatty())):
        return None
    try:
        if notebook:
            from tqdm.notebook import tqdm
        else:
            from tqdm import tqdm
    except ImportError:             # a bar is no reason to fail
        return None
    return tqdm
