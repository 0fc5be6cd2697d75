"""`vmio steer`: a closed loop on the watched host, while its guests run and something goes wrong: with nobody, with its controller, with a bad one."""

import argparse

WHO = ("nobody", "own", "bad")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give `vmio steer` its options."""
    parser.add_argument("loop", nargs="?", help="which loop, of those that --list shows; its runs with nobody, its own controller and a bad one are compared")
    parser.add_argument("--list", action="store_true", help="show the loops: what each watches, sets and is a cure for; run nothing")
    parser.add_argument("--windows-of", choices=WHO, metavar="WHO", help="show each window of one of the three instead: nobody, own or bad")
    parser.add_argument("--seed", type=int, default=1, help="of loads, and of when the fault begins and how bad it is (default 1)")
    parser.add_argument("--windows", type=int, default=24, help="how long, in windows of 1 ms of the model's time (default 24)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(args: argparse.Namespace) -> None:
    """Run the loop and show what came of it."""
    from vmio.manage.steer import show       # other commands needn't wait for it
    show.run(args)
