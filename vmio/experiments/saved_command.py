"""`vmio checkpoint` and `vmio restore`: a run that is stopped, kept in a file, and run to its end by another process."""

import argparse
import json
import os

from vmio import console
from vmio.experiments import disk_command, net_command
from vmio.machine.contracts import Inputs


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Give `vmio checkpoint` what it needs beside the options of the run."""
    parser.add_argument("output", metavar="FILE", help="where the run is kept; the file is replaced when all is written")
    parser.add_argument("--at", metavar="NS", type=int, required=True, help="when it is stopped, ns of virtual time since power-on: at the first event that comes then")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def add_restore(parser: argparse.ArgumentParser) -> None:
    """Give `vmio restore` its options."""
    parser.add_argument("checkpoint", metavar="FILE", help="what `vmio checkpoint` has written; everything but the image is in it")
    parser.add_argument("--image", metavar="FILE", help="the disk's image, if it is no longer where it was; it must be the same, sector by sector")
    parser.add_argument("--save", metavar="FILE", help="as of `vmio run`: the first guest's disk, or the frames; the file is replaced when all is written")
    parser.add_argument("--csv", metavar="FILE", help="disk: write all counts here as CSV; the file is replaced when all is written")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def checkpoint(args: argparse.Namespace) -> None:
    """Run until then, and write the file; ValueError or OSError, one sentence, and nothing written, for what can't be."""
    from vmio.experiments import saved_run
    from vmio.machine import checkpoint_file
    if args.at < 1:
        raise ValueError(f"--at {args.at}: at least 1 ns; until then a machine is its plan")
    inputs: Inputs
    if args.device == "net":
        frames = net_command.prepare(args, args.output)
        inputs, paused = frames.inputs, saved_run.pause_net(frames.params, args.at, frames.captured, frames.name)
    else:
        work = disk_command.prepare(args, args.output)
        inputs, where = work.inputs, args.image and os.path.abspath(args.image)
        paused = saved_run.pause_disk(work.params, args.at, work.requests, work.image, work.name, where)
    checkpoint_file.write(args.output, paused.state, inputs)
    size = os.path.getsize(args.output)
    if args.json:
        console.say(json.dumps({"schema": "vmio.checkpoint/1", "file": args.output, "bytes": size, "at_ns": paused.at_ns,
                                "steps": paused.steps, "under_way": paused.under_way}))
    else:
        what = "requests under way" if args.device == "disk" else "frames still to come"
        console.say(f"{args.output}: {size:,} bytes; stopped at {paused.at_ns:,} ns, after {paused.steps:,} steps, {paused.under_way:,} {what}")


def restore(args: argparse.Namespace) -> None:
    """Run what is in the file to its end, and say what `vmio run` says; ValueError or OSError, one sentence, for what can't be."""
    from vmio.experiments import saved_run
    from vmio.experiments.net_result import NetResult
    from vmio.machine import checkpoint_file
    from vmio.machine.checkpoint import CheckpointRefused
    from vmio.machine.storage import Image
    inputs: Inputs = {"checkpoint": args.checkpoint, "--image": args.image}
    outputs = (args.save, args.csv)
    disk_command.check_outputs(outputs, inputs)
    state = checkpoint_file.read(args.checkpoint)
    try:
        where = args.image or saved_run.image_of(state)
        if where is not None and not isinstance(where, str):
            raise CheckpointRefused("checkpoint, run: its image has no name; --image FILE says which it is")
        if args.csv is not None and state["device"] == "net":
            raise ValueError(f"--csv {args.csv}: only of a disk's run, and this is one of a network card")
        image = Image.open(where) if where else None
        inputs = {**inputs, "--image": where, **(image.inputs("--image") if image is not None else {})}
        disk_command.check_outputs(outputs, inputs)
        result = saved_run.resume(state, image)
    except CheckpointRefused as refused:
        raise CheckpointRefused(str(refused).replace("checkpoint", f"checkpoint {args.checkpoint}", 1)) from refused
    if isinstance(result, NetResult):
        net_command.tell(args, result, inputs)
    else:
        disk_command.tell(args, result, inputs)
