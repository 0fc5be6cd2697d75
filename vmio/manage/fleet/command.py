"""`vmio fleet`: many hosts for a day, where their guests are placed, and hosts that are emptied."""

import argparse
import json
from dataclasses import replace

from vmio import console
from vmio.experiments import params
from vmio.manage.fleet.params import FleetParams


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the command its options."""
    params.add_options(parser, FleetParams)
    parser.add_argument("--compare", action="store_true", help="one line for each policy, with the same guests and the same day")
    parser.add_argument("--calibrate", action="store_true", help="run the byte-accurate machine at the points that the model was fitted to, and at those that were held out")
    parser.add_argument("--csv", metavar="FILE", help="write a line for each half hour, or with --calibrate one for each point; the file is replaced when all is written")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of the parameters; run nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(args: argparse.Namespace) -> None:
    """Do it; ValueError, one sentence, for what can't be."""
    from vmio.machine import files              # other commands needn't wait for these
    from vmio.manage.fleet import calibrate, service
    from vmio.manage.fleet.fleet import run as day
    from vmio.manage.fleet.policies import POLICIES
    from vmio.manage.fleet.result import compared
    if args.schema:
        console.say(json.dumps(params.schema(FleetParams, "vmio fleet"), indent=2))
        return
    chosen = params.from_options(FleetParams, args).check()
    if args.compare and (args.calibrate or args.csv is not None):
        raise ValueError("--compare: one line for each policy, beside neither --calibrate nor --csv")
    if args.csv is not None:
        files.target(args.csv)                  # refused before the work, not after it
    if args.calibrate:
        found = calibrate.measure_all()
        text = calibrate.to_csv(found)
        rows = [row for mode in calibrate.MODES for row in service.errors([one for one in found if one.mode == mode], service.fit([one for one in found if one.mode == mode]))]
        said, plain = service.to_table(rows), {"schema": "vmio.fleet-points/1", "points": [one._asdict() for one in found]}
    elif args.compare:
        results = [day(replace(chosen, policy=policy)) for policy in POLICIES]
        said, plain = compared(results), {"schema": "vmio.fleet-policies/1", "policies": [one.to_dict() for one in results]}
    else:
        result = day(chosen)
        text, said, plain = result.to_csv(), result.table(), result.to_dict()
    if args.csv is not None:
        files.write_text(args.csv, text)
    console.say(json.dumps(plain) if args.json else said)
