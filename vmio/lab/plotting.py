"""matplotlib, imported so that nothing in a user's matplotlibrc stops a lesson or writes into one.

At its import matplotlib reads that file, remarks on standard error what it
doesn't like there (keys of older versions, say) or that it must look for
fonts, and gives up if the file is not UTF-8.  A lesson's cell shows none of
this: the file is for the user's own figures, and `style.look` draws ours
without it.
"""

import logging
import os
import sys
import warnings
from types import ModuleType


def _load() -> ModuleType:
    """Import matplotlib and its SVG writer without a remark; returns the module.  A file that can't be read counts as empty."""
    log = logging.getLogger("matplotlib")
    level, named = log.level, os.environ.get("MATPLOTLIBRC")
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            try:
                import matplotlib.figure
            except UnicodeDecodeError:
                for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
                    del sys.modules[name]  # what a broken import left would look for the half that went with it
                os.environ["MATPLOTLIBRC"] = os.devnull
                import matplotlib.figure
            import matplotlib.backends.backend_svg
    finally:
        log.setLevel(level)
        if os.environ.get("MATPLOTLIBRC") != named:
            os.environ.pop("MATPLOTLIBRC") if named is None else os.environ.update(MATPLOTLIBRC=named)
    return matplotlib


try:
    matplotlib = _load()
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(f"a figure on paper is drawn by matplotlib, and {missing.name} is not installed; "
                              "in a browser it is fetched, where the site has it, by a cell that says: import matplotlib") from None
