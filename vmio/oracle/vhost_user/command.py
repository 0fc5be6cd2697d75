"""`vmio vhost-user` on the command line; what serves needs Linux, and is loaded when it is asked for."""

import argparse
import json
import sys
from pathlib import Path

from vmio import console
from vmio.oracle.vhost_user.wire import MAX_QUEUES


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--socket", metavar="PATH", help="the Unix socket: connect if somebody listens there, else listen")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--image", metavar="FILE", help="serve a disk, which is changed: a raw image or a block device; with --readonly any that is read here")
    what.add_argument("--net", action="store_true", help="serve a network card at a switch; the station at its other port, 10.0.0.1, answers ARP and ping")
    what.add_argument("--replay", metavar="DIR", type=Path,
                      help="serve nobody: say the recordings of a folder (or a file) to our back end, and tell where it differs; exit status 1 if it does")
    parser.add_argument("--readonly", action="store_true", help="refuse what would change the disk")
    parser.add_argument("--queues", metavar="N", type=int, default=1, help=f"rings, 1 to {MAX_QUEUES} (default 1)")
    parser.add_argument("--once", action="store_true", help="end when the first front end has gone")
    parser.add_argument("--json", action="store_true", help="at the end, one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    """Serve: a sentence on standard error for what a front end does wrong, a line of counts when one has gone.  Or replay."""
    if not sys.platform.startswith("linux"):
        raise ValueError(f"memory is shared by descriptors of Linux's (memfd_create, eventfd); this is {sys.platform}")
    if args.replay is not None:
        return _replay(args)
    from vmio.oracle.vhost_user import door
    if args.socket is None:
        raise ValueError("--socket PATH is needed: where front ends come to")
    door.main(args.socket, args.image, args.readonly, args.queues, args.once, args.json)
    return 0


def _replay(args: argparse.Namespace) -> int:
    """Say what became of each recording; 1 if one differs."""
    from vmio.oracle.vhost_user.door import tell
    from vmio.oracle.vhost_user.replay import compare
    if args.socket is not None or args.once or args.readonly or args.queues > 1:
        raise ValueError("--replay serves nobody: --socket, --once, --readonly and --queues are for --image and --net")
    verdicts = compare.all_in(args.replay, tell)
    found = [verdict._asdict() for verdict in verdicts]
    console.say(json.dumps({"schema": "vmio.vhost-user-replay/1", "recordings": found}) if args.json else "\n".join(each.sentence() for each in verdicts))
    return int(any(verdict.differences for verdict in verdicts))
