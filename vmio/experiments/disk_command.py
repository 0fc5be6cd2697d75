"""`vmio run --device disk`: its options, what it reads before the work, and what it writes after it."""

import argparse
import json
import os
from typing import TYPE_CHECKING, NamedTuple

from vmio import console
from vmio.experiments import params
from vmio.experiments.disk_params import DiskParams
from vmio.machine.contracts import Inputs

if TYPE_CHECKING:
    from vmio.experiments.disk_result import DiskResult
    from vmio.experiments.traces.request import Requests
    from vmio.machine.media.medium import Medium


class Work(NamedTuple):
    """What a run of a disk is told, and `inputs`, the files that it reads, by what names them."""

    params: DiskParams
    requests: "Requests | None"
    image: "Medium | None"
    name: str
    inputs: Inputs


def add_options(run: argparse.ArgumentParser) -> None:
    """Give the parser the parameters and the files that are read."""
    params.add_options(run, DiskParams)
    run.add_argument("--trace", metavar="FILE",
                     help="requests of a real disk: CSV time_us,op,lba,sectors, or (recognised by content) blkparse, biosnoop, "
                          "fio iolog 2 and 3, MSR Cambridge, Alibaba, Tencent CBS, SYSTOR '17, SPC; gzip or not")
    run.add_argument("--volume", metavar="NAME", help="the trace's volume to take, if it has several (without: they are listed)")
    run.add_argument("--image", metavar="FILE", help="disk: raw, gzip, VHD, VHDX, block device; it is not changed")


def add_outputs(run: argparse.ArgumentParser) -> None:
    """Give the parser the files that are written."""
    run.add_argument("--save", metavar="FILE", help="write the first guest's disk here at the end; the file is replaced when all is written")
    run.add_argument("--csv", metavar="FILE", help="write all counts here as CSV; the file is replaced when all is written")


def prepare(args: argparse.Namespace, *outputs: str | None) -> Work:
    """Return what the options say; ValueError or OSError, one sentence, for what can't be, also of `outputs`: before the work, not after it."""
    from vmio.experiments import trace
    from vmio.machine.storage import Image
    inputs: Inputs = {"--image": args.image, "--trace": args.trace}
    check_outputs(outputs, inputs)
    told = params.from_options(DiskParams, args)
    params.check_effects(told, told.mode)
    _heed_the_trace(args, told)
    requests = trace.load(args.trace, args.volume) if args.trace is not None else None
    image = Image.open(args.image) if args.image else None
    if image is not None:
        inputs = {**inputs, **image.inputs("--image")}
        check_outputs(outputs, inputs)       # a parent of the image, which only the image knows of
    return Work(told, requests, image, f"trace {args.trace}" if args.trace is not None else "sequential reads", inputs)


def check_outputs(outputs: tuple[str | None, ...], inputs: Inputs) -> None:
    """ValueError or OSError if one of the `outputs` can't be written, is one of the `inputs`, or is named twice."""
    from vmio.machine import files
    found = [os.path.abspath(files.target(name, inputs)) for name in outputs if name is not None]
    if len(found) != len(set(found)):
        raise ValueError(f"--save and --csv: both are {outputs[-1]}; two outputs need two files")


def run(args: argparse.Namespace) -> None:
    """Run and print; ValueError or OSError, one sentence, for what can't be."""
    if args.schema:
        console.say(json.dumps(params.schema(DiskParams, "vmio run --device disk"), indent=2))
        return
    from vmio.experiments import disk
    work = prepare(args, args.save, args.csv)
    tell(args, disk.run(work.params, work.requests, work.image, work.name), work.inputs)


def tell(args: argparse.Namespace, result: "DiskResult", inputs: Inputs) -> None:
    """Write what was asked for, and print."""
    from vmio.machine import files
    if args.save is not None:
        files.save(result.images[0], args.save, inputs)
    if args.csv is not None:
        files.write_text(args.csv, result.to_csv())
    console.say(json.dumps(result.to_dict()) if args.json else result.table())


def _heed_the_trace(args: argparse.Namespace, told: DiskParams) -> None:
    """Raise ValueError for what has no effect with a trace, or without one."""
    if args.trace is None:
        if args.volume is not None:
            raise ValueError(f"--volume {args.volume}: no effect without --trace")
        return
    for name, spec in params.specs(told).items():
        if name in ("bytes", "block") and getattr(told, name) != getattr(type(told), name):
            raise ValueError(f"{spec.said(name, getattr(told, name))}: no effect beside --trace, whose requests have sizes of their own")
