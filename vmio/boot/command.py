"""`vmio boot`: a kernel's file, its initramfs, a disk, and how each is attached."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from vmio import console as output
from vmio.boot import kept
from vmio.boot.params import ALL, MODES, VPCI, BootParams
from vmio.experiments import params as declared
from vmio.machine import checkpoint_file, files
from vmio.machine.media.medium import Medium
from vmio.machine.storage import Image

if TYPE_CHECKING:
    from vmio.boot.run import Boot

UNICORN = "unicorn"
MOST = 1 << 30              # bytes of a kernel's or an initramfs' file


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the command its options."""
    parser.add_argument("--kernel", metavar="FILE",
                        help="a bzImage for 64-bit processors, as distributions ship it (default: what `vmio linux get` keeps, with an "
                             "initramfs for these disks)")
    parser.add_argument("--initrd", metavar="FILE", help="its initramfs")
    parser.add_argument("--run", metavar="COMMAND", action="append", default=[],
                        help="what the kept kernel runs before it switches the machine off; may be given several times; without: a shell")
    parser.add_argument("--cache", metavar="DIR", help="where kernel and busybox are kept (default: .linux in the checkout)")
    parser.add_argument("--disk", metavar="FILE", help="disk: raw, gzip, VHD, VHDX, block device; it is not changed; each mode has its own view")
    parser.add_argument("--mode", metavar="MODE", nargs="+", action="extend", default=[], choices=(*MODES, VPCI, ALL), dest="modes",
                        help=f"how the disk is attached, one or several of {', '.join(MODES)}: an IDE disk, a disk on VMBus, "
                             f"an emulated NVMe disk, an NVMe function passed through; {ALL}: these four; {VPCI}: the function passed "
                             "through on a virtual PCI bus of VMBus's (default with --disk: emulated)")
    declared.add_options(parser, BootParams)
    parser.add_argument("--processor", choices=(UNICORN, "kvm"), default=UNICORN,
                        help="who executes the kernel: Unicorn, in software (default); kvm says why /dev/kvm doesn't")
    parser.add_argument("--checkpoint", metavar="FILE",
                        help="keep the whole machine in this file when the console has shown --until's text, and end; the file is replaced then")
    parser.add_argument("--restore", metavar="FILE",
                        help="go on from such a file instead of booting; the disk is named again, everything else is in it")
    parser.add_argument("--console", metavar="FILE", help="where the console goes (default: standard error); the file is replaced at the end")
    parser.add_argument("--interactive", action="store_true", help="standard input is the keyboard; usual at a terminal, without --until and --json")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status is 1 for a guest that did not end as it was asked to.  ValueError, OSError: one sentence."""
    if args.processor != UNICORN:
        from vmio.processors.kvm.kernels import NOT_BUILT, kernels
        raise ValueError(f"--processor {args.processor}: {kernels()[1] or NOT_BUILT}")
    from vmio.boot.result import last
    from vmio.boot.terminal import HINT, typing
    inputs = {"--kernel": args.kernel, "--initrd": args.initrd, "--disk": args.disk, "--restore": args.restore}
    outputs = dict(inputs)
    for option, name in (("--console", args.console), ("--checkpoint", args.checkpoint)):
        if name is not None:
            files.target(name, outputs)             # refused before the work, not after it
            outputs[option] = name
    if args.checkpoint is not None and not args.until:
        raise ValueError(f"--checkpoint {args.checkpoint}: at which text? --until TEXT says when the machine is kept")
    sink = None if args.console else _to_standard_error()
    boot = _boot(args, Image.open(args.disk) if args.disk else None, sink)
    interactive = args.interactive or not (args.until or args.json or args.console) and sys.stdin is not None and sys.stdin.isatty()
    if interactive:
        print(HINT, file=sys.stderr)
    if sink is not None:
        for byte in boot.console.line:   # of a restored machine: a prompt, as a rule, that was shown before
            sink(byte)
    with typing(boot) if interactive else nullcontext():
        try:
            result = boot.run()
        except KeyboardInterrupt:
            if sink is None:             # nobody has seen it
                print(last(boot.console.last_lines()), file=sys.stderr)
            raise
    if args.console is not None:
        with files.Output(args.console, inputs) as out:
            out.write(result.console)
    if boot.kept is not None:
        checkpoint_file.write(args.checkpoint, boot.kept, inputs)
    print(f"\n{result.sentence()}", file=sys.stderr)
    if args.checkpoint is not None and boot.kept is None:
        print(f"--checkpoint {args.checkpoint}: nothing was kept" + (f"; {boot.refused}" if boot.refused else ""), file=sys.stderr)
        return 1
    output.say(json.dumps(result.to_dict()) if args.json else result.table())
    return 0 if result.good else 1


def _boot(args: argparse.Namespace, medium: Medium | None, sink: Callable[[int], None] | None) -> "Boot":
    """A machine at its power-on, or as it was kept."""
    from vmio.boot import checkpoint
    from vmio.boot.run import Boot
    keep = None if args.checkpoint is None else checkpoint.saved
    if args.restore is None:
        modes = tuple(args.modes) or (("emulated",) if args.disk else ())
        told = BootParams(modes=modes, **{name: getattr(args, name) for name in declared.specs(BootParams)})
        kernel, initrd = _files(args, told)
        return Boot(told, kernel, initrd, medium, sink, name=args.kernel or "vmlinuz", keep=keep)
    for name in ("kernel", "initrd", "run", "cache", "modes", *checkpoint.KEPT):
        if getattr(args, name) != (declared.default(BootParams, name) if name in declared.specs(BootParams) else [] if name in ("run", "modes") else None):
            raise ValueError(f"--{_option(name)}: no effect with --restore {args.restore}; a machine goes on as it was kept")
    return checkpoint.restored(checkpoint_file.read(args.restore), medium, sink, keep, **{name: getattr(args, name) for name in checkpoint.OWN})


def _option(name: str) -> str:
    """An option as it is typed."""
    spec = declared.specs(BootParams).get(name)
    return ((spec and spec.option) or {"modes": "mode"}.get(name, name)).replace("_", "-")


def _files(args: argparse.Namespace, told: BootParams) -> tuple[bytes, bytes]:
    """(kernel, initramfs): those that are named, or the kept ones."""
    own = "--kernel" if args.kernel is not None else "--initrd"
    if args.run and (args.kernel is not None or args.initrd is not None):
        raise ValueError(f"--run {args.run[0]}: no effect with {own}; our own initramfs runs it, for the kernel that is kept")
    if args.cache is not None and args.kernel is not None:
        raise ValueError(f"--cache {args.cache}: no effect with --kernel; it is where another one is kept")
    initrd = _read("--initrd", args.initrd) if args.initrd is not None else None
    if args.kernel is not None:
        return _read("--kernel", args.kernel), initrd or b""
    image, made = kept.kernel(told, args.run, None if args.cache is None else Path(args.cache))
    return image, made if initrd is None else initrd


def _read(option: str, name: str) -> bytes:
    """A whole file; OSError and ValueError name it."""
    try:
        with open(name, "rb") as file:
            if os.fstat(file.fileno()).st_size > MOST:
                raise ValueError(f"{option} {name}: more than {MOST:,} bytes; neither a kernel nor its initramfs is that large")
            return file.read(MOST + 1)
    except OSError as error:
        raise OSError(f"{option} {name}: {error.strerror or error}") from error


def _to_standard_error() -> Callable[[int], None]:
    stream = sys.stderr

    def sink(byte: int) -> None:
        stream.write(chr(byte) if byte < 128 else "?")
        if byte < 33 or stream.isatty():
            stream.flush()
    return sink
