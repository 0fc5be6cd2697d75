"""`python -m vmio ...`: the oracle door, a workload, the attacks, real hardware, the benchmarks."""

import os
import signal
import sys

_COMMAND = os.path.splitext(os.path.basename(sys.argv[0]))[0] == "vmio"    # not python -m vmio, but what pip installs
if (_COMMAND or __name__ == "__main__") and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)    # Ctrl-C before `console.run` is no traceback

import argparse  # noqa: E402
import json  # noqa: E402

from vmio import __version__, console  # noqa: E402
from vmio.experiments import disk_params, params  # noqa: E402


class _Parser(argparse.ArgumentParser):
    """A parser whose help and version are printed or the exit status says so: argparse's own keeps quiet when they can't be."""

    def _print_message(self, message, file=None):
        if file is sys.stdout:
            console.say(message.rstrip("\n"))
        else:
            super()._print_message(message, file)


def _parser():
    parser = _Parser(prog="vmio" if _COMMAND else "python -m vmio", description="I/O virtualization as running code.",
                     epilog=console.STATUSES)
    parser.add_argument("--version", action="version", version=f"vmio {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    qtest = commands.add_parser("qtest", help="serve the board in QEMU's qtest text protocol")
    qtest.add_argument("--drive", metavar="FILE", help="disk: raw, gzip, VHD, VHDX, block device; it is not changed")
    qtest.add_argument("--serial", metavar="FILE", help="where COM1's output goes, live; a file that holds something is replaced at the end")
    qtest.add_argument("--memory", metavar="MIB", type=int, default=16, help="guest RAM (default 16)")
    qtest.add_argument("--rtc-base", metavar="ISO", default="2024-02-29T23:59:58", help="date at virtual time 0")
    qtest.add_argument("--unix", metavar="PATH", help="a Unix socket in place of standard input and output: connect if somebody listens there, else listen")
    qtest.add_argument("--device", choices=["edu", "intel-iommu"], action="append", default=[], dest="devices",
                       help="plug in QEMU's teaching device, an IOMMU; may be given twice")

    run = commands.add_parser("run", help="run a workload and count")
    run.add_argument("--device", choices=["disk"], default="disk")
    params.add_options(run, disk_params.DiskParams)
    run.add_argument("--trace", metavar="FILE",
                     help="requests of a real disk: CSV time_us,op,lba,sectors, or (recognised by content) blkparse, biosnoop, "
                          "fio iolog 2 and 3, MSR Cambridge, Alibaba, Tencent CBS, SYSTOR '17, SPC; gzip or not")
    run.add_argument("--volume", metavar="NAME", help="the trace's volume to take, if it has several (without: they are listed)")
    run.add_argument("--image", metavar="FILE", help="disk: raw, gzip, VHD, VHDX, block device; it is not changed")
    run.add_argument("--save", metavar="FILE", help="write the first guest's disk here at the end; the file is replaced when all is written")
    run.add_argument("--csv", metavar="FILE", help="write all counts here as CSV; the file is replaced when all is written")
    run.add_argument("--schema", action="store_true", help="print the JSON schema of the parameters; run nothing")
    run.add_argument("--json", action="store_true", help="one JSON object on standard output")

    attack = commands.add_parser("attack", help="a hostile guest's attacks, with the defence on and with it off")
    attack.add_argument("--list", action="store_true", help="show what there is; run nothing")
    attack.add_argument("--only", metavar="ID", help="one attack")
    attack.add_argument("--json", action="store_true", help="one JSON object on standard output")

    kvm = commands.add_parser("kvm", help="can this host run guests under /dev/kvm; if so, what exits cost; drivers replayed")
    kvm.add_argument("--json", action="store_true", help="one JSON object on standard output")

    bench = commands.add_parser("bench", help="measure this machine; prints ratios of one run")
    bench.add_argument("--only", metavar="NAME", help="one benchmark")
    bench.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser


def _qtest(args):
    from vmio.oracle import qtest
    qtest.main(args.drive, args.serial, args.memory, args.rtc_base, args.unix, args.devices)


def _run(args):
    from vmio.experiments import disk, trace
    from vmio.machine import files
    from vmio.machine.storage import Image
    if args.schema:
        console.say(json.dumps(params.schema(disk.DiskParams, "vmio run --device disk"), indent=2))
        return
    inputs = {"--image": args.image, "--trace": args.trace}
    outputs = [name for name in (args.save, args.csv) if name is not None]
    found = [files.target(name, inputs) for name in outputs]        # refused before the work, not after it
    if len(found) != len(set(map(os.path.abspath, found))):
        raise ValueError(f"--save and --csv: both are {args.csv}; two outputs need two files")
    told = params.from_options(disk.DiskParams, args)
    params.check_effects(told, told.mode)
    _heed_the_trace(args, told)
    requests = trace.load(args.trace, args.volume) if args.trace is not None else None
    image = Image.open(args.image) if args.image else None
    if image is not None:
        inputs |= image.inputs("--image")
        for name in outputs:
            files.target(name, inputs)       # a parent of the image, which only the image knows of
    result = disk.run(told, requests, image, f"trace {args.trace}" if args.trace is not None else "sequential reads")
    if args.save is not None:
        files.save(result.images[0], args.save, inputs)
    if args.csv is not None:
        files.write_text(args.csv, result.to_csv())
    console.say(json.dumps(result.to_dict()) if args.json else result.table())


def _heed_the_trace(args, told):
    """Raise ValueError for what has no effect with a trace, or without one."""
    if args.trace is None:
        if args.volume is not None:
            raise ValueError(f"--volume {args.volume}: no effect without --trace")
        return
    for name, spec in params.specs(told).items():
        if name in ("bytes", "block") and getattr(told, name) != getattr(type(told), name):
            raise ValueError(f"{spec.said(name, getattr(told, name))}: no effect beside --trace, whose requests have sizes of their own")


def _attack(args):
    from vmio.attacks import report
    if args.list:
        console.say(json.dumps(report.list_to_dict()) if args.json else report.listing())
        return 0
    rows = report.run(args.only)
    console.say(json.dumps(report.to_dict(rows)) if args.json else report.to_table(rows))
    return 0 if all(row.holds for row in rows) else 1


def _kvm(args):
    from vmio.processors.kvm.probe import usable
    works, reason = usable()
    result = {"usable": works, "reason": reason, "host": None, "exits": [], "replay": {}}
    if works:
        from vmio.processors.kvm import measure, report  # needs Linux, which the probe has seen
        rows = measure.measure()
        replays = report.run()
        result.update(host=measure.host(), exits=measure.to_dict(rows), replay=report.to_dict(replays))
    if args.json:
        console.say(json.dumps(result))
    else:
        console.say(f"/dev/kvm is usable: {result['host']}\n{measure.to_table(rows)}\n\n{report.to_table(replays)}" if works
                    else f"/dev/kvm is not usable: {reason}")


def _bench(args):
    from vmio import bench
    bench.main(args.only, args.json)


def _files_are_named(args):
    """Raise ValueError for a file's name that is empty: it is no way to leave the file out."""
    for option in ("drive", "serial", "unix", "trace", "image", "save", "csv"):
        if getattr(args, option, None) == "":
            raise ValueError(f"--{option}: the name is empty; a file's name is needed")


def main(argv=None):
    """Run one command; returns the exit status (`console`), 1 for a defence that doesn't hold."""
    def command():
        _files_are_named(args)
        return {"qtest": _qtest, "run": _run, "attack": _attack, "kvm": _kvm, "bench": _bench}[args.command](args)
    args = None

    def parse():
        nonlocal args
        args = _parser().parse_args(argv)
    return console.run("vmio", parse) or console.run(f"vmio {args.command}", command)


if __name__ == "__main__":
    sys.exit(main())
