"""`vmio chain`: differencing disks as files, one over the other.  What is there is only read; what is written is a new file.

    vmio chain show FILE                    the disk's files, from the top down
    vmio chain create CHILD --parent FILE   an empty differencing disk over a VHDX file
    vmio chain merge FILE OUTPUT            the whole disk, as FILE shows it, in one file that needs no other
"""

import argparse
import json
import os
from typing import Any

from vmio import console
from vmio.machine.storage import SECTOR, Image
from vmio.table import table

FORMATS = {"Vhdx": "VHDX", "Vhd": "VHD", "RawFile": "raw"}     # of a medium's class; what is unpacked into memory was gzip

def add_options(parser: argparse.ArgumentParser) -> None:
    """Give `vmio chain` its three parts."""
    parts = parser.add_subparsers(dest="part", required=True)
    show = parts.add_parser("show", help="the files of a disk, from the top down; each holds what was written over the next one")
    create = parts.add_parser("create", help="an empty differencing disk over a VHDX file, which must not change from then on")
    create.add_argument("output", metavar="CHILD", help="a new VHDX file; nothing is replaced")
    create.add_argument("--parent", metavar="FILE", required=True, help="what the disk shows where nothing has been written to CHILD")
    merge = parts.add_parser("merge", help="a whole disk in one file that needs no other; what it was made of stays")
    for each in (show, merge):
        each.add_argument("image", metavar="FILE", help="the disk's uppermost file: VHDX, VHD, raw or gzip")
    merge.add_argument("output", metavar="OUTPUT", help="a new VHDX file; nothing is replaced")
    for each in (show, create, merge):
        each.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(args: argparse.Namespace) -> None:
    """Do it; ValueError or OSError, one sentence, and nothing written, for what can't be."""
    from vmio.machine.media import vhdx_write       # other commands needn't wait for it
    from vmio.machine.media.chain import Layer
    if args.part == "create":
        kind = files(args.parent)[0]["format"]
        if kind != "VHDX":
            raise ValueError(f"--parent {args.parent}: it is {kind}; only a VHDX file can be one: `vmio chain merge {args.parent} NEW.vhdx` makes one of it")
        vhdx_write.write_layer(args.output, Layer(), args.parent, new=True)
    elif args.part == "merge":
        with Image.open(args.image) as disk:
            vhdx_write.write_disk(args.output, disk, new=True)
    found = files(args.image if args.part == "show" else args.output)
    if args.json:
        console.say(json.dumps({"schema": "vmio.chain/1", "files": found}))
    else:
        console.say(table([(each["file"], each["format"], each["disk_bytes"], each["file_bytes"]) for each in found],
                          ("file, from the top down", "format", "bytes of the disk", "bytes of the file"), "<<>>"))


def files(name: str) -> list[dict[str, Any]]:
    """Return {file, format, disk_bytes, file_bytes} of each file of a disk, from the top down.  ValueError if it can't be read."""
    with Image.open(name) as top:
        found: list[dict[str, Any]] = []
        disk: Any = getattr(top, "base", top)       # without what would be written over it
        while disk is not None:
            path = disk.paths[0] if disk.paths else name
            found.append({"file": path, "format": FORMATS.get(type(disk).__name__, "gzip"), "disk_bytes": disk.sectors * SECTOR, "file_bytes": os.path.getsize(path)})
            disk = getattr(disk, "parent", None)
        return found
