"""What it costs to keep a machine of four guests with requests in flight in a file, and to have it back."""

import tempfile
from pathlib import Path

from vmio.bench import Row, cost, row, turns
from vmio.experiments import disk
from vmio.machine import checkpoint_file
from vmio.modes import Machine

TARGET = "at most 1,000 for both"
MACHINES = {mode: disk.DiskParams(mode=mode, guests=4, queue_depth=1 if mode == "emulated" else 8, bytes=1 << 20)
            for mode in ("emulated", "split", "passthrough")}
ROUNDS = 9


def _stopped(params: disk.DiskParams) -> tuple[Machine, list]:
    """A machine in the middle of its run, and its runs."""
    _, _, _, runs = disk.machine(params, checkpoints=True)
    machine, going = runs[0].machine.machine, disk.start(runs)
    half = len(runs) * params.bytes // params.block // 2
    while sum(len(run.latencies) for run in runs) < half:
        going.step()
    return machine, runs


def measure() -> list[Row]:
    """CPU time of a save into a file, and of a machine that is made, and restored from it, in ms."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for mode, params in MACHINES.items():
            machine, _ = _stopped(params)
            path = Path(folder) / mode

            def save(machine: Machine = machine, path: Path = path) -> None:
                checkpoint_file.write(path, machine.save())

            def restore(params: disk.DiskParams = params, path: Path = path) -> None:
                _, _, _, runs = disk.machine(params, checkpoints=True)
                runs[0].machine.machine.restore(checkpoint_file.read(path), *disk.programs(runs))
            save()
            restore()
            ns = turns({"save": cost(save), "restore": cost(restore)}, ROUNDS)
            both = [one + other for one, other in zip(ns["save"], ns["restore"])]
            rows.append(row(f"4 guests, {mode}, half done: save and restore, CPU ms", [each / 1e6 for each in both], TARGET))
    return rows
