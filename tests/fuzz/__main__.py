"""`python -m tests.fuzz`: almost-right protocol at every part of the host, for as long as one likes."""

import argparse
import importlib
import sys

from tests.fuzz import engine
from vmio import console

PARTS = ("ring", "socket", "storvsp", "vmbus", "nvme", "ata", "chips", "tulip", "nic", "accel", "iommu", "vpci", "netvsp", "switch", "balloon", "virtio", "qtest", "machine")
OPERATIONS = 200_000      # of a part; of one whose actions are long, so many less as its `WEIGHT` says


def part_of(name):
    """The module of a part."""
    return importlib.import_module(f"tests.fuzz.fuzz_{name}")


def life_of(name):
    """The part's function `life(dice, operations, note)`."""
    return engine.life_of(part_of(name))


def main(arguments=None):
    """One line a part; exit status 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--operations", type=int, metavar="N", help="of each part (200000; of the whole machine 20000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed is the same run (1)")
    options = parser.parse_args(arguments)
    found = False
    for part in options.only or PARTS:
        operations = options.operations or OPERATIONS // getattr(part_of(part), "WEIGHT", 1)
        verdict = engine.run(part, life_of(part), operations, options.seed)
        print(verdict, flush=True)
        for key, (life, times, text) in verdict.findings.items():
            found = True
            print(f"  life {life}, {times} time(s): {key}\n    " + text.replace("\n", "\n    "), flush=True)
    return int(found)


if __name__ == "__main__":
    sys.exit(console.run("tests.fuzz", main))
