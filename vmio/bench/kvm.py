"""Real exits per second through this package's run loop, the model's in the same run, and a loop in C on the same blob.

What Python adds is more than the same lines take without exits (2 us): the
processor comes back from each exit with cold caches and translations, and Python touches
more memory than C does.  Empty without a usable /dev/kvm, and without the rows of the C loop where no compiler is.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from vmio.bench import Row, cost, ratios, row, turns
from vmio.processors.kvm import probe, steps
from vmio.processors.kvm.device import device

COUNT, ROUNDS = 1000, 9
KINDS = ("OUT", "IN", "MMIO write", "MMIO read")


def measure() -> list[Row]:
    """Measure each kind in turn: Python, C and the model alternate."""
    works, reason = probe.usable()
    if not works:
        print(f"kvm: not measured: {reason}", file=sys.stderr)
        return []
    rows = []
    with tempfile.TemporaryDirectory() as folder, steps.Rig() as rig:
        loop = _compile(Path(folder))
        for kind in KINDS:
            code, program = steps.compiled(steps.KINDS[kind](COUNT)), steps.KINDS[kind](COUNT)
            subjects = {"real": lambda code=code: rig.run(code).ns,
                        "model": cost(lambda program=program: steps.on_model(program))}
            if loop:
                subjects["C"] = lambda: _run_c(loop, rig.guest)
            ns = turns(subjects, ROUNDS)
            rows += [row(f"{kind}: real exits per second, run loop in Python", [COUNT * 1e9 / each for each in ns["real"]]),
                     row(f"{kind}: modelled over real", ratios(ns["real"], ns["model"]))]
            if loop:
                rows += [row(f"{kind}: Python's time over C's", ratios(ns["real"], ns["C"])),
                         row(f"{kind}: us that Python adds to an exit",
                             [(real - c) / COUNT / 1000 for real, c in zip(ns["real"], ns["C"], strict=True)])]
    return rows


def _compile(folder: Path) -> Path | None:
    """The C loop's program, or None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    source = Path(__file__).with_name("kvm_loop.c")
    if compiler is None:
        print("kvm: no C compiler here, so Python was not compared with C", file=sys.stderr)
        return None
    program = folder / "kvm_loop"
    done = subprocess.run([compiler, "-O2", "-o", program, source], capture_output=True, text=True)
    if done.returncode:
        print(f"kvm: {source.name} can't be compiled here: {done.stderr.strip().splitlines()[0]}", file=sys.stderr)
        return None
    return program


def _run_c(program: Any, guest: Any) -> Any:
    """ns of one run in C: the memory of `guest`, and the registers with which its last run began."""
    from vmio.processors.kvm import longmode  # Linux only
    blob = program.with_name("blob")
    blob.write_bytes(guest.ram.memory[:])
    longmode.enter_user_mode(guest.vcpu)
    blob.with_suffix(".regs").write_bytes(bytes(guest.vcpu.registers()))
    blob.with_suffix(".sregs").write_bytes(bytes(guest.vcpu.special_registers()))
    lines = subprocess.run([program, device(), blob, "3"], capture_output=True, text=True, check=True).stdout.splitlines()
    runs = [tuple(map(int, line.split())) for line in lines]
    if any(exits != COUNT + 1 for exits, _ in runs):
        raise RuntimeError(f"the loop in C saw other exits: {runs}")
    return min(ns for _, ns in runs)
