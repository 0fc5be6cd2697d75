"""Boot Linux on each host, honest and lying, and write down what came of it: `python -m vmio.lessons.test_the_mix.record [LIE ...]`.

Replaces data/mix-linux.json, or the cells of these lies in it.  Needs Unicorn and a kernel (`vmio linux get`); takes minutes.
"""

import argparse
import json
import sys
from dataclasses import asdict
from itertools import product

from vmio import console, data
from vmio.experiments import many, mix_kinds as k
from vmio.lessons.boot_a_real_linux import live
from vmio.lessons.boot_a_real_linux.record import made_of
from vmio.lessons.test_the_mix import linux, recorded
from vmio.machine import files as outputs


def main(lies: list[str]) -> None:
    """Record these lies, all without names; ValueError for one that there isn't, and where nothing can be booted."""
    for lie in lies:
        if lie not in k.LIE_NAMES:
            raise ValueError(f"lie {lie!r}: choose one of {', '.join(k.LIE_NAMES)}")
    works, why = live.usable()
    if not works:
        raise ValueError(f"nothing can be recorded: {why}")
    hosts = [one.name for one in k.HOSTS]
    cells = {(one["host"], one["lie"]): one for one in recorded.file()["cells"]} if lies else {}
    points = list(product(hosts, lies or k.LIE_NAMES))
    for point, found in zip(points, many.run(linux.run, points, what="boots")):
        cells[point] = asdict(found)
    lines = ",\n".join(json.dumps(cells[point], separators=(",", ":")) for point in product(hosts, k.LIE_NAMES) if point in cells)
    outputs.write_text(data.checkout(f"data/{recorded.FILE}"), f'{{"of": {json.dumps(made_of())},\n"cells": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="vmio.lessons.test_the_mix.record", description=__doc__)
    parser.add_argument("lies", metavar="LIE", nargs="*", help="none, or what the hosts lie about; all of them without a name")
    sys.exit(console.run("vmio.lessons.test_the_mix.record", lambda: main(parser.parse_args().lies)))
