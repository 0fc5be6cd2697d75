"""`vmio run --device net`: its options, what it reads before the work, and what it writes after it."""

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from vmio import console, data
from vmio.experiments import params
from vmio.experiments.net_params import NetParams
from vmio.machine.contracts import Inputs

if TYPE_CHECKING:
    from vmio.experiments.net_result import NetResult
    from vmio.machine.net.pcap import Captured


class Work(NamedTuple):
    """What a run of a network card is told, and `inputs`, the files that it reads, by what names them."""

    params: NetParams
    captured: "Sequence[Captured]"
    name: str
    inputs: Inputs


def add_options(run: argparse.ArgumentParser) -> None:
    """Give the parser the parameters and the file that is read."""
    params.add_options(run, NetParams)
    run.add_argument("--pcap", metavar="FILE", help="the frames: a capture of Ethernet, pcap; who sent the first one is the guest "
                                                    "(default: data/http.pcap, a download)")


def add_outputs(run: argparse.ArgumentParser) -> None:
    """Give the parser the file that is written."""
    run.add_argument("--save", metavar="FILE", help="write the frames as they were received here, pcap; the file is replaced when all is written")


def prepare(args: argparse.Namespace, output: str | None) -> Work:
    """Return what the options say; ValueError or OSError, one sentence, for what can't be, also of `output`: before the work, not after it."""
    from vmio.machine import files
    from vmio.machine.net import pcap
    inputs = {"--pcap": args.pcap}
    if output is not None:
        files.target(output, inputs)
    told = params.from_options(NetParams, args)
    params.check_effects(told, told.mode)
    name = args.pcap if args.pcap is not None else data.path("http.pcap")
    return Work(told, pcap.load(name), f"capture {name}", inputs)


def run(args: argparse.Namespace) -> None:
    """Run and print; ValueError or OSError, one sentence, for what can't be."""
    if args.schema:
        console.say(json.dumps(params.schema(NetParams, "vmio run --device net"), indent=2))
        return
    from vmio.experiments import net
    work = prepare(args, args.save)
    tell(args, net.run(work.params, work.captured, work.name), work.inputs)


def tell(args: argparse.Namespace, result: "NetResult", inputs: Inputs) -> None:
    """Write what was asked for, and print."""
    from vmio.machine.net import pcap
    if args.save is not None:
        pcap.save(args.save, result.captured(), inputs=inputs)
    console.say(json.dumps(result.to_dict()) if args.json else result.table())
