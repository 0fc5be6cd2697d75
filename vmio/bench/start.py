"""How long `import vmio` takes in a fresh process, against an empty Python."""

import os
import subprocess
import sys
import tempfile
from time import perf_counter

from vmio.bench import best


def measure():
    """Milliseconds beyond an empty process; compiled once before, as on any machine where it ran before."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def process(code):
            start = perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, env=environment)
            return (perf_counter() - start) * 1000
        everything = "import vmio, vmio.devices.board, vmio.hypervisor.host, vmio.drivers.ata, vmio.experiments.disk"
        empty = best(lambda: process("pass"), 5)
        bare, all_of_it = (best(lambda c=code: process(c), 5) for code in ("import vmio", everything))
    return [("import vmio, ms", bare - empty, "at most 150"),
            ("import of board, host, drivers and workloads, ms", all_of_it - empty, ""),
            ("that process over an empty Python", all_of_it / empty, "")]
