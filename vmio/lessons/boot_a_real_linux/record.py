"""Boot all that the lesson shows, and write it down: `python -m vmio.lessons.boot_a_real_linux.record [NAME ...]`.

Replaces data/linux-recorded.json, or the boots of these names in it.  Needs Unicorn and a kernel (`vmio linux get`); takes minutes.
"""

import argparse
import json
import sys
from typing import Any

from vmio import console, data
from vmio.lessons.boot_a_real_linux import live, recorded
from vmio.lessons.boot_a_real_linux.plans import ALL
from vmio.linux.packages import PACKAGES, files
from vmio.machine import files as outputs
from vmio.processors.unicorn.package import VERSION


def made_of() -> dict[str, Any]:
    """Return what a recording is made of: versions and SHA-256 of Unicorn, of the packages, of kernel and busybox, as plain data."""
    return {"unicorn": VERSION, "packages": {package.name: [package.version, package.sha256] for package in PACKAGES},
            "files": {file.name: file.sha256 for file in files() if file.name in ("vmlinuz", "busybox")}}


def main(names: list[str]) -> None:
    """Record these boots, all without names; ValueError for one that there isn't, and where nothing can be booted."""
    for name in names:
        if name not in ALL:
            raise ValueError(f"boot {name!r}: choose one of {', '.join(ALL)}")
    works, why = live.usable()
    if not works:
        raise ValueError(f"nothing can be recorded: {why}")
    boots = dict(recorded.file()["boots"]) if names else {}
    for name in names or ALL:
        print(name, flush=True)
        boots[name] = live.LiveBoot(name).run()
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(boots[name], separators=(',', ':'))}" for name in ALL if name in boots)
    outputs.write_text(data.checkout(f"data/{recorded.FILE}"), f'{{"of": {json.dumps(made_of())},\n"boots": {{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="vmio.lessons.boot_a_real_linux.record", description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", help="a boot; all of them without a name")
    sys.exit(console.run("vmio.lessons.boot_a_real_linux.record", lambda: main(parser.parse_args().names)))
