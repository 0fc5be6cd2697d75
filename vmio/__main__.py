"""`python -m vmio ...`: the oracle door, a workload, the attacks, real hardware, the benchmarks."""

import os
import signal
import sys

_COMMAND = os.path.splitext(os.path.basename(sys.argv[0]))[0] == "vmio"    # not python -m vmio, but what pip installs
if (_COMMAND or __name__ == "__main__") and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)    # Ctrl-C before `console.run` is no traceback

import argparse  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from contextlib import redirect_stderr, suppress  # noqa: E402
from importlib import import_module  # noqa: E402
from typing import Any  # noqa: E402

from vmio import __version__, console  # noqa: E402
from vmio.boot import command as boot_command  # noqa: E402
from vmio.experiments import accelerator_command, disk_command, net_command, saved_command  # noqa: E402
from vmio.experiments.saved_run import KINDS  # noqa: E402
from vmio.manage import chain_command  # noqa: E402
from vmio.manage.diagnose import command as watch_command  # noqa: E402
from vmio.manage.fleet import command as fleet_command  # noqa: E402
from vmio.manage.migration import command as migrate_command  # noqa: E402
from vmio.manage.steer import command as steer_command  # noqa: E402
from vmio.oracle.vhost_user import command as vhost_user  # noqa: E402


class _Parser(argparse.ArgumentParser):
    """A parser whose help and version are printed or the exit status says so: argparse's own keeps quiet when they can't be."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stdout:
            console.say(message.rstrip("\n"))
        else:
            super()._print_message(message, file)


_RUNS: dict[str, Any] = {"accelerator": accelerator_command, "disk": disk_command, "net": net_command}


def _device(argv: Sequence[str] | None) -> str:
    """Return which device `run` is about; "disk" for what is none, which the parser proper will say."""
    only = argparse.ArgumentParser(add_help=False)
    only.add_argument("--device", nargs="?")
    with suppress(argparse.ArgumentError, SystemExit), redirect_stderr(io.StringIO()):
        found: str | None = only.parse_known_args(argv)[0].device
        return found if found in _RUNS else "disk"
    return "disk"


def _parser(device: str = "disk") -> "_Parser":
    """The command line; `device` is that of `run`, which has other options for each."""
    parser = _Parser(prog="vmio" if _COMMAND else "python -m vmio", description="I/O virtualization as running code.",
                     epilog=console.STATUSES)
    parser.add_argument("--version", action="version", version=f"vmio {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    qtest = commands.add_parser("qtest", help="serve the board in QEMU's qtest text protocol")
    qtest.add_argument("--drive", metavar="FILE", action="append", default=[],
                       help="disk: raw, gzip, VHD, VHDX, block device; it is not changed; up to four times: primary master, "
                            "primary slave, secondary master, secondary slave")
    qtest.add_argument("--serial", metavar="FILE", help="where COM1's output goes, live; a file that holds something is replaced at the end")
    qtest.add_argument("--memory", metavar="MIB", type=int, default=16, help="guest RAM (default 16)")
    qtest.add_argument("--rtc-base", metavar="ISO", default="2024-02-29T23:59:58", help="date at virtual time 0")
    qtest.add_argument("--unix", metavar="PATH", help="a Unix socket in place of standard input and output: connect if somebody listens there, else listen")
    qtest.add_argument("--device", metavar="NAME", action="append", default=[], dest="devices",
                       help="plug in QEMU's teaching device (edu), an IOMMU (intel-iommu), a network card (tulip; wire_rx HEX and wire_tx are "
                            "its cable's other end), or virtio-blk-pci or virtio-net-pci, with options as in QEMU: "
                            "virtio-blk-pci,packed=on,queue-size=8; may be given several times")
    qtest.add_argument("--pit", choices=["bcd", "binary"], default="bcd",
                       help="how the timer counts what should count in BCD: as the data sheet says, or in binary as QEMU's does (default bcd)")

    vhost_user.add_options(commands.add_parser("vhost-user", help="serve a disk's image, or a network card, to a real Linux in QEMU: its virtqueues are ours"))

    run = commands.add_parser("run", help="run a workload and count")
    run.add_argument("--device", choices=sorted(_RUNS), default="disk", help="(default disk); its options: run --device net --help")
    _RUNS[device].add_options(run)
    _RUNS[device].add_outputs(run)
    run.add_argument("--schema", action="store_true", help="print the JSON schema of the parameters; run nothing")
    run.add_argument("--json", action="store_true", help="one JSON object on standard output")

    checkpoint = commands.add_parser("checkpoint", help="run a workload to a time, and keep the machine with all guests in a file")
    checkpoint.add_argument("--device", choices=list(KINDS), default="disk", help="(default disk); its options: checkpoint --device net --help")
    _RUNS[device if device in KINDS else "disk"].add_options(checkpoint)
    saved_command.add_checkpoint(checkpoint)
    saved_command.add_restore(commands.add_parser("restore", help="run what was kept to its end: the result of a run that nobody disturbed"))

    boot = commands.add_parser("boot", help="boot a real operating system, and count (needs Unicorn)")
    boot_command.add_options(boot)

    migrate = commands.add_parser("migrate", help="move a guest to another host while it runs")
    migrate_command.add_options(migrate)
    watch_command.add_top(commands.add_parser("top", help="watch a host with six guests: counters as text, live, or for Prometheus"))
    watch_command.add_diagnose(commands.add_parser("diagnose", help="put faults into that host, and count how often the rules name them"))
    steer_command.add_options(commands.add_parser("steer", help="let a closed loop put right what is wrong with that host, while its guests run"))
    fleet_command.add_options(commands.add_parser("fleet", help="many hosts for a day: place their guests, empty some hosts, see who is overloaded"))
    chain_command.add_options(commands.add_parser("chain", help="differencing disks as files: show a chain, begin one, merge it into one file"))

    attack = commands.add_parser("attack", help="a hostile guest's attacks on its host, or a host's on its guest, with the defence on and with it off")
    attack.add_argument("--hostile", choices=("guest", "host"), default="guest", help="who attacks (default: the guest)")
    attack.add_argument("--mode", choices=("virtio",), help="attacks by virtio: rings, requests and registers, with every form of queue")
    attack.add_argument("--list", action="store_true", help="show what there is; run nothing")
    attack.add_argument("--only", metavar="ID", help="one attack")
    attack.add_argument("--json", action="store_true", help="one JSON object on standard output")

    kvm = commands.add_parser("kvm", help="can this host run guests under /dev/kvm; if so, what exits cost; drivers replayed")
    kvm.add_argument("--json", action="store_true", help="one JSON object on standard output")

    linux = commands.add_parser("linux", help="a Linux kernel to boot: take Debian's, make its initramfs")
    actions = linux.add_subparsers(dest="action", required=True)
    get = actions.add_parser("get", help="take kernel and busybox out of two packages of Debian's; nothing is installed")
    get.add_argument("--deb", metavar="FILE", action="append", default=[],
                     help="a package's file, where the system's package manager is not Debian's; may be given twice")
    get.add_argument("--json", action="store_true", help="one JSON object on standard output")
    initrd = actions.add_parser("initrd", help="make an initramfs: busybox, modules, a first program")
    initrd.add_argument("output", metavar="FILE", help="where it goes; the file is replaced when all is written")
    initrd.add_argument("--run", metavar="COMMAND", action="append", default=[],
                        help="what the first program runs before it switches the machine off; may be given several times; without: a shell")
    initrd.add_argument("--module", metavar="NAME", action="append", default=[],
                        help="a module to load, with what it needs and its options: \"libata dma=0\"; may be given several times "
                             "(default: those of all disks)")
    for action in (get, initrd):
        action.add_argument("--cache", metavar="DIR", help="where kernel and busybox are kept (default: .linux in the checkout)")

    grade = commands.add_parser("grade", help="check the exercises in many students' notebooks, one row each")
    grade.add_argument("folder", metavar="FOLDER", help="the notebooks, also in folders of their own, one a student")
    grade.add_argument("--answers", action="store_true",
                       help="check nothing; run each student's own questions (lab.py --student) on the machine and print what is right")
    grade.add_argument("--csv", metavar="FILE", help="write the rows here as CSV; the file is replaced when all is written")
    grade.add_argument("--json", action="store_true", help="one JSON object on standard output")

    progress = commands.add_parser("progress", help="where a class is: what checks noted in the students' folders")
    progress.add_argument("folder", metavar="FOLDER", help="the students' folders, such as /home")
    progress.add_argument("--csv", metavar="FILE", help="write the rows here as CSV; the file is replaced when all is written")
    progress.add_argument("--json", action="store_true", help="one JSON object on standard output")

    assignment = commands.add_parser("assignment", help="lessons as assignments for nbgrader or Otter-Grader")
    assignment.add_argument("form", choices=["nbgrader", "otter"])
    assignment.add_argument("folder", metavar="DIR", help="a new or an empty folder")
    assignment.add_argument("lessons", metavar="LESSON", nargs="*", help="such as 04 or fill_a_ring; all without")
    assignment.add_argument("--json", action="store_true", help="one JSON object on standard output")

    bench = commands.add_parser("bench", help="measure this machine; prints ratios of one run")
    bench.add_argument("--only", metavar="NAME", help="one benchmark")
    bench.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser


def _qtest(args: argparse.Namespace) -> None:
    from vmio.oracle import qtest
    qtest.main(args.drive, args.serial, args.memory, args.rtc_base, args.unix, args.devices, args.pit)


def _run(args: argparse.Namespace) -> None:
    _RUNS[args.device].run(args)


def _attack(args: argparse.Namespace) -> int:
    if args.mode:
        report = import_module("vmio.attacks.virtqueue.report").Report(args.hostile)
    else:
        report = import_module("vmio.attacks.hostile_host.catalogue" if args.hostile == "host" else "vmio.attacks.report")
    if args.list:
        console.say(json.dumps(report.list_to_dict()) if args.json else report.listing())
        return 0
    kept: dict = {}
    try:
        rows = report.run(args.only, kept)
    except BaseException:
        if kept and not args.json:      # part of an object would be none
            console.say(report.to_table(report.rows(kept)))
        raise
    console.say(json.dumps(report.to_dict(rows)) if args.json else report.to_table(rows))
    return 0 if all(row.holds for row in rows) else 1


def _kvm(args: argparse.Namespace) -> None:
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


def _linux(args: argparse.Namespace) -> None:
    from pathlib import Path

    from vmio.linux import initramfs, kept
    from vmio.machine import files
    cache = None if args.cache is None else Path(args.cache)
    if args.action == "get":
        found = kept.get(cache, args.deb)
        console.say(json.dumps(kept.to_dict(found)) if args.json else kept.to_text(found))
        return
    target = files.target(args.output)      # refused before the work, not after it
    archive = initramfs.build(kept.find(cache), args.run, args.module or initramfs.DISKS)
    with files.Output(args.output) as out:
        out.write(archive)
    console.say(f"{target}: {len(archive):,} bytes")


def _grade(args: argparse.Namespace) -> None:
    from vmio.machine import files
    try:
        from vmio.lessons import grade, seeds
    except ImportError as error:
        raise ValueError(f"grade needs the packages of the lab ({error}): pip install vmio[lab]") from None
    if args.csv is not None:
        files.target(args.csv)          # refused before the work, not after it
    rows: list[Any] = grade.grade(args.folder) if not args.answers else list(seeds.answers([sheet for _, sheet in grade.sheets(args.folder)]))
    if not rows:
        raise ValueError(f"--answers: no notebook in {args.folder} has a seed (lab.py --student NAME writes it): all have the lessons' own numbers")
    if args.csv is not None:
        files.write_text(args.csv, grade.to_csv(rows))
    console.say(json.dumps(grade.to_dict(rows)) if args.json else seeds.to_table(rows) if args.answers else grade.to_table(rows))


def _progress(args: argparse.Namespace) -> None:
    from vmio.machine import files
    try:
        from vmio.lessons import progress
    except ImportError as error:
        raise ValueError(f"progress needs the packages of the lab ({error}): pip install vmio[lab]") from None
    if args.csv is not None:
        files.target(args.csv)
    found = progress.of_class(args.folder)
    if args.csv is not None and found.rows:
        files.write_text(args.csv, progress.to_csv(found.rows))
    console.say(json.dumps(progress.to_dict(found)) if args.json else progress.to_table(found))


def _assignment(args: argparse.Namespace) -> None:
    try:
        from vmio.lessons import assignment
    except ImportError as error:
        raise ValueError(f"assignment needs the packages of the lab ({error}): pip install vmio[lab]") from None
    written = assignment.make(args.form, args.folder, args.lessons)
    console.say(json.dumps({"schema": 1, "files": written}) if args.json else "\n".join(written))


def _bench(args: argparse.Namespace) -> None:
    from vmio import bench
    bench.main(args.only, args.json)


def _files_are_named(args: argparse.Namespace) -> None:
    """Raise ValueError for a file's name that is empty: it is no way to leave the file out."""
    for option in ("drive", "serial", "unix", "socket", "trace", "image", "save", "csv", "pcap", "deb", "output", "cache",
                   "kernel", "initrd", "disk", "console", "checkpoint", "restore", "weights", "biases", "images", "parent"):
        given = getattr(args, option, None)
        if "" in (given if isinstance(given, list) else [given]):
            raise ValueError(f"--{option}: the name is empty; a file's name is needed")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (`console`), 1 for a defence that doesn't hold."""
    def command() -> int | None:
        _files_are_named(args)
        return {"qtest": _qtest, "vhost-user": vhost_user.run, "run": _run, "checkpoint": saved_command.checkpoint, "restore": saved_command.restore, "migrate": migrate_command.run, "chain": chain_command.run, "top": watch_command.run_top, "diagnose": watch_command.run_diagnose,
                "fleet": fleet_command.run, "steer": steer_command.run,
                "boot": boot_command.run,
                "attack": _attack, "kvm": _kvm, "linux": _linux, "grade": _grade, "progress": _progress,
                "assignment": _assignment, "bench": _bench}[args.command](args)
    args: Any = None

    def parse() -> None:
        nonlocal args
        args = _parser(_device(argv)).parse_args(argv)
    return console.run("vmio", parse) or console.run(f"vmio {args.command}", command)


if __name__ == "__main__":
    sys.exit(main())
