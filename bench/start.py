"""How long `import vmio` and the door take in a fresh process, against an empty Python."""

import subprocess
import sys
from time import perf_counter

from bench import best


def measure():
    """Milliseconds of a whole process, and of the import in it."""
    def process(code):
        start = perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return (perf_counter() - start) * 1000
    empty = best(lambda: process("pass"), 5)
    package = best(lambda: process("import vmio, vmio.devices.board, vmio.hypervisor.host, vmio.drivers.ata"), 5)
    return [("import vmio with board, host and drivers, ms", package - empty, "at most 150"),
            ("that process over an empty Python", package / empty, "")]
