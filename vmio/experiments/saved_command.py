"""`vmio checkpoint` and `vmio restore`: a run that is stopped, kept in a file, and run to its end by another process."""

import argparse
import json
import os
from collections.abc import Callable
from typing import Any

from vmio import console, data
from vmio.experiments import params


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


def checkpoint(args: argparse.Namespace, heed_the_trace: Callable[[argparse.Namespace, Any], None]) -> None:
    """Run until then, and write the file; ValueError or OSError, one sentence, and nothing written, for what can't be."""
    from vmio.experiments import disk, net, saved_run, trace
    from vmio.machine import checkpoint_file, files
    from vmio.machine.net import pcap
    from vmio.machine.storage import Image
    if args.at < 1:
        raise ValueError(f"--at {args.at}: at least 1 ns; until then a machine is its plan")
    if args.device == "net":
        inputs = {"--pcap": args.pcap}
        files.target(args.output, inputs)        # refused before the work, not after it
        told = params.from_options(net.NetParams, args)
        params.check_effects(told, told.mode)
        name = args.pcap if args.pcap is not None else data.path("http.pcap")
        paused = saved_run.pause_net(told, args.at, pcap.load(name), f"capture {name}")
    else:
        inputs = {"--image": args.image, "--trace": args.trace}
        files.target(args.output, inputs)
        told = params.from_options(disk.DiskParams, args)
        params.check_effects(told, told.mode)
        heed_the_trace(args, told)
        requests = trace.load(args.trace, args.volume) if args.trace is not None else None
        image = Image.open(args.image) if args.image else None
        if image is not None:
            inputs |= image.inputs("--image")
        paused = saved_run.pause_disk(told, args.at, requests, image, f"trace {args.trace}", args.image and os.path.abspath(args.image))
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
    from vmio.machine import checkpoint_file, files
    from vmio.machine.checkpoint import CheckpointRefused
    from vmio.machine.net import pcap
    from vmio.machine.storage import Image
    inputs = {"checkpoint": args.checkpoint, "--image": args.image}
    outputs = [name for name in (args.save, args.csv) if name is not None]
    found = [files.target(name, inputs) for name in outputs]
    if len(found) != len(set(map(os.path.abspath, found))):
        raise ValueError(f"--save and --csv: both are {args.csv}; two outputs need two files")
    state = checkpoint_file.read(args.checkpoint)
    try:
        where = args.image or saved_run.image_of(state)
        if where is not None and not isinstance(where, str):
            raise CheckpointRefused("checkpoint, run: its image has no name; --image FILE says which it is")
        image = Image.open(where) if where else None
        inputs |= {"--image": where} if image is None else {"--image": where, **image.inputs("--image")}
        for name in outputs:
            files.target(name, inputs)
        result = saved_run.resume(state, image)
    except CheckpointRefused as refused:
        raise CheckpointRefused(str(refused).replace("checkpoint", f"checkpoint {args.checkpoint}", 1)) from refused
    if isinstance(result, NetResult):
        if args.csv is not None:
            raise ValueError(f"--csv {args.csv}: only of a disk's run, and this is one of a network card")
        if args.save is not None:
            pcap.save(args.save, result.captured(), inputs=inputs)
    else:
        if args.save is not None:
            files.save(result.images[0], args.save, inputs)
        if args.csv is not None:
            files.write_text(args.csv, result.to_csv())
    console.say(json.dumps(result.to_dict()) if args.json else result.table())
