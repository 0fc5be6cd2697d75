"""How checks ended, a line each, where the teacher has turned it on: `vmio progress` reads them.

    {"answer": "9f86d081884c7d65", "exercise": "count-the-exits", "outcome": "pass", "version": "1.0"}

No code, no time of day, nothing leaves the student's folder unless the student hands it in.  Who owns the file may change it:
it shows where a class is, and is no mark.
"""

import json
import os
from pathlib import Path
from typing import Any

from vmio import __version__
from vmio.lab.answer import digest
from vmio.lab.guesses import WORK

VARIABLE = "VMIO_PROGRESS"      # "1" turns it on
NAME = "progress.jsonl"         # beside the student's copies, for all to see


def note(slug: str, outcome: str, answer: Any) -> str:
    """Append a line to the student's own file; returns "", or why that could not be done.  Does nothing unless it is turned on."""
    folder = os.environ.get(WORK)
    if os.environ.get(VARIABLE) != "1" or not folder:
        return ""
    line = json.dumps({"exercise": slug, "outcome": outcome, "answer": digest(answer), "version": __version__}, sort_keys=True) + "\n"
    try:
        number = os.open(Path(folder, NAME), os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            os.write(number, line.encode())     # at once, so that lines of two kernels never mix
        finally:
            os.close(number)
    except OSError as error:
        return error.strerror or str(error)
    return ""
