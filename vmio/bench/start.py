"""What an import takes of the processor in a fresh process, beyond an empty Python."""

import os
import subprocess
import sys
import tempfile
from functools import partial

from vmio.bench import Row, ratios, row, turns

SUBJECTS = (   # (what, code, milliseconds that the design asks for)
    ("import vmio", "import vmio", "at most 150"),
    ("import vmio, and its first name", "import vmio; vmio.Host", "at most 150"),
    ("import vmio.modes, with all devices and drivers", "import vmio.modes.attachments", "at most 150"),
    ("import vmio.experiments.disk", "import vmio.experiments.disk", ""),
)
TELL = "; import time; print(time.process_time_ns())"


def measure() -> list[Row]:
    """Processes take turns; compiled once before, as on any machine where it ran before.  A process can't be cut shorter."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def process(code: str) -> float:
            done = subprocess.run([sys.executable, "-c", code + TELL], check=True, env=environment, capture_output=True)
            return int(done.stdout) / 1e6
        subjects = {what: partial(process, code) for what, code, _ in SUBJECTS} | {"empty": partial(process, "pass")}
        turns(subjects, rounds=1)
        ms = turns(subjects, rounds=9)
    return ([row(f"{what}, ms", [one - empty for one, empty in zip(ms[what], ms["empty"], strict=True)], target)
             for what, _, target in SUBJECTS]
            + [row("that process over an empty Python", ratios(ms[SUBJECTS[-1][0]], ms["empty"]))])
