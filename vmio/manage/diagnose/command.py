"""`vmio top`: watch a host with six guests, one of which may have a fault; `vmio diagnose`: how often are the rules right?"""

import argparse

VIEWS = ("top", "perf", "kvm_stat", "sysfs", "perfmon", "pressure", "prometheus")


def add_top(parser: argparse.ArgumentParser) -> None:
    """Give `vmio top` its options."""
    parser.add_argument("--fault", default="none", metavar="NAME", help="what goes wrong, of those that `vmio diagnose --list` shows (default none)")
    parser.add_argument("--seed", type=int, default=1, help="of loads, and of when the fault begins and how bad it is (default 1)")
    parser.add_argument("--windows", type=int, default=24, help="how long to watch, in windows of 1 ms of the model's time (default 24)")
    parser.add_argument("--view", choices=VIEWS, default="top", help="what to print (default top)")
    parser.add_argument("--once", action="store_true", help="print the last window as text and end, also in a terminal")
    parser.add_argument("--pace", type=float, default=0.25, metavar="SECONDS", help="how long each window stays on the screen, and while serving (default 0.25)")
    parser.add_argument("--serve", type=int, metavar="PORT", help="answer Prometheus on this machine's http://127.0.0.1:PORT/metrics until Ctrl-C; 0: a free port")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def add_diagnose(parser: argparse.ArgumentParser) -> None:
    """Give `vmio diagnose` its options."""
    parser.add_argument("--seeds", type=int, default=100, help="how many runs, each with another seed (default 100)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument("--detector", choices=("cusum", "ewma"), default="cusum", help="what looks for changes (default cusum)")
    parser.add_argument("--list", action="store_true", help="show the faults, with cause and cure; run nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run_top(args: argparse.Namespace) -> None:
    """Run the scene and show it."""
    from vmio.manage.diagnose import show       # other commands needn't wait for it
    show.run_top(args)


def run_diagnose(args: argparse.Namespace) -> None:
    """Run the trial and show it."""
    from vmio.manage.diagnose import show
    show.run_diagnose(args)
