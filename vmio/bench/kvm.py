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
from time import perf_counter

from vmio.bench import best
from vmio.processors.kvm import probe, steps
from vmio.processors.kvm.device import device

COUNT, ROUNDS = 1000, 9
KINDS = ("OUT", "IN", "MMIO write", "MMIO read")


def measure():
    """Each kind in turn, Python and C alternating; the least time of each counts."""
    works, reason = probe.usable()
    if not works:
        print(f"kvm: not measured: {reason}", file=sys.stderr)
        return []
    rows = []
    with tempfile.TemporaryDirectory() as folder, steps.Rig() as rig:
        loop = _compile(Path(folder))
        for kind in KINDS:
            code = steps.compiled(steps.KINDS[kind](COUNT))
            here, in_c = [], []
            for _ in range(ROUNDS):
                here.append(rig.run(code).ns)
                if loop:
                    in_c.append(_run_c(loop, rig.guest))
            model = best(lambda kind=kind: _model(kind), ROUNDS)
            rows += [(f"{kind}: real exits per second, run loop in Python", COUNT * 1e9 / min(here), ""),
                     (f"{kind}: modelled over real", min(here) / 1e9 / model, "")]
            if in_c:
                rows += [(f"{kind}: Python's time over C's", min(here) / min(in_c), ""),
                         (f"{kind}: us that Python adds to an exit", (min(here) - min(in_c)) / COUNT / 1000, "")]
    return rows


def _model(kind):
    """Seconds that the model takes for as many."""
    program = steps.KINDS[kind](COUNT)
    start = perf_counter()
    steps.on_model(program)
    return perf_counter() - start


def _compile(folder):
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


def _run_c(program, guest):
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
