"""`vmio migrate`: a guest moves to another host while it runs."""

import argparse
import json

from vmio import console
from vmio.experiments import params
from vmio.manage.migration.params import MigrateParams


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the command its options."""
    params.add_options(parser, MigrateParams)
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of the parameters; run nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status is 1 for a guest that was not moved, or did not end as one that nobody disturbed."""
    if args.schema:
        console.say(json.dumps(params.schema(MigrateParams, "vmio migrate"), indent=2))
        return 0
    from vmio.manage.migration import experiment
    outcome = experiment.run(params.from_options(MigrateParams, args))
    console.say(json.dumps(outcome.to_dict()) if args.json else outcome.table())
    return 0 if outcome.holds else 1
