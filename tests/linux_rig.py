"""Boots of the kernel that `vmio linux get` keeps, with a disk in each mode, and what they read."""

import gzip
import re
from functools import cache
from pathlib import Path

from tests.linux_files import kernel
from vmio.boot.params import MODES, BootParams
from vmio.boot.run import Boot
from vmio.linux import initramfs
from vmio.machine.storage import Image

ROOT = Path(__file__).resolve().parents[1]
IMAGE = gzip.decompress((ROOT / "data" / "licenses-ext4.img.gz").read_bytes())
NAMES = {"emulated": "sda", "split": "sdb", "nvme": "nvme0n1", "passthrough": "nvme1n1"}    # as they come, all four at once
READS, BLOCK = 16, 4096


def disk():
    """The image, as a medium of its own."""
    return Image(IMAGE)


def mark(name):
    """A command that begins a phase as `mark` does, but of the shell's own: no program starts, whose CPUIDs would be counted."""
    return f'echo "<1>VMIO-MARK {name}" > /dev/kmsg'


def reads(devices):
    """Commands: 16 direct reads of 4 KiB from each, between two marks, far from the ticks and texts around; then what was read."""
    commands = [f"await {' '.join(f'/dev/{device}' for device in devices)}", "sleep 0.5"]
    for device in devices:
        commands += [mark(f"read {device}"), f"dd if=/dev/{device} of=/tmp/{device} bs={BLOCK} count={READS} iflag=direct 2>/dev/null",
                     mark(f"over {device}"), f"md5sum /tmp/{device}", "sleep 0.5"]
    return [*commands, "cat /proc/interrupts", "echo WARNINGS", "dmesg -r | grep '^<[0-4]>'", "echo NO MORE WARNINGS", "dmesg | grep 'ORACLE DISK'"]


def start(commands, modules=initramfs.DISKS, medium=None, answers=(), keep=None, programs=None, **params):
    """A `Boot` of these commands, to the end of the last."""
    kept = kernel()
    params = {"quiet": True, "timeout": 600, **params}
    return Boot(BootParams(**params), kept.read("vmlinuz"), initramfs.build(kept, commands, modules, programs),
                disk() if medium is None and params.get("modes") else medium, answers=answers, name="vmlinuz", keep=keep)


def warnings(result):
    """What the kernel has said that is a warning or worse, without the time, of a guest whose last commands were those of `reads`."""
    text = result.console_text
    lines = text[text.index("\nWARNINGS\n"):text.index("NO MORE WARNINGS")].splitlines()[2:]
    return [re.sub(r"^<\d>\[ *[\d.]+\] ", "", line) for line in lines]


@cache
def all_modes(pins=False):
    """The result of one boot with four disks, the machine switched off at its end."""
    return start(reads([NAMES[mode] for mode in MODES]), modes=("all",), pins=pins).run()
