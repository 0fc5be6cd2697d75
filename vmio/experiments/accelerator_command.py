"""`vmio run --device accelerator`: its options, and what it does."""

import argparse
import json

from vmio import console
from vmio.experiments import params
from vmio.experiments.accelerator_params import AcceleratorParams


def add_options(run: argparse.ArgumentParser) -> None:
    """Give the parser the parameters and the files that are read."""
    params.add_options(run, AcceleratorParams)
    run.add_argument("--weights", metavar="FILE", help="the network's weights: 2,368 int8, of 64 x 32 and 32 x 10 (default: those that were trained)")
    run.add_argument("--biases", metavar="FILE", help="its biases: 42 int32, little-endian (default: those that were trained)")
    run.add_argument("--images", metavar="FILE", help="images of 64 int8 each (default: 450 digits)")


def add_outputs(run: argparse.ArgumentParser) -> None:
    """Give the parser the files that are written."""
    run.add_argument("--csv", metavar="FILE", help="write all counts here as CSV; the file is replaced when all is written")


def run(args: argparse.Namespace) -> None:
    """Run and print; ValueError or OSError, one sentence, for what can't be."""
    if args.schema:
        console.say(json.dumps(params.schema(AcceleratorParams, "vmio run --device accelerator"), indent=2))
        return
    from vmio.experiments import accelerator, digits
    from vmio.machine import files
    if args.csv is not None:         # refused before the work, not after it
        files.target(args.csv, {"--weights": args.weights, "--biases": args.biases, "--images": args.images})
    told = params.from_options(AcceleratorParams, args)
    params.check_effects(told, told.mode)
    network = None if args.weights is None and args.biases is None else digits.from_files(args.weights, args.biases)
    images = None if args.images is None else digits.images_from(args.images)
    result = accelerator.run(told, network, images)
    if args.csv is not None:
        files.write_text(args.csv, result.to_csv())
    console.say(json.dumps(result.to_dict()) if args.json else result.table())
