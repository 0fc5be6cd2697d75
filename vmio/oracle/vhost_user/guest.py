"""A real Linux in QEMU whose disks and network cards are vhost-user back ends: the front end's side of `vmio vhost-user`, for tests and lessons.

    with Guest(kernel, initrd, [Disk("disk.sock", packed=True)]) as guest:
        guest.wait()
    guest.console                       all that it has said

QEMU shares the guest's memory with the back ends (memory-backend-memfd, share=on) and executes the guest's instructions in
software (TCG), so that it runs where /dev/kvm doesn't.  `usable()` says whether QEMU is there.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

PROGRAM = "qemu-system-x86_64"
VARIABLE, NONE = "VMIO_QEMU", "none"        # in the environment: leave QEMU alone, as if it were not there
MODULES = ("virtio_pci", "virtio_blk")
MEMORY_MIB = 256
APPEND = "console=ttyS0 quiet tsc=reliable"


@cache
def usable() -> tuple[bool, str]:
    """Return (True, "") where QEMU can be started, or (False, why not)."""
    if os.environ.get(VARIABLE) == NONE:
        return False, f"QEMU is left alone, for {VARIABLE} in the environment says so"
    if shutil.which(PROGRAM) is None:
        return False, f"{PROGRAM} is not installed (Debian: apt install qemu-system-x86)"
    return True, ""


class Disk(NamedTuple):
    """A vhost-user-blk device: its back end's socket, and what QEMU offers its guest of what the back end offers."""

    socket: str | os.PathLike[str]
    packed: bool = False
    indirect: bool = True
    event_idx: bool = True
    queues: int = 1
    queue_size: int = 128
    reconnect_s: int = 0            # try again so many seconds after a back end has gone; 0: never

    def options(self, number: int) -> list[str]:
        """Return QEMU's options for disk `number`."""
        again = f",reconnect={self.reconnect_s}" if self.reconnect_s else ""
        said = {"packed": self.packed, "indirect_desc": self.indirect, "event_idx": self.event_idx}
        return ["-chardev", f"socket,id=c{number},path={os.fspath(self.socket)}{again}",
                "-device", f"vhost-user-blk-pci,chardev=c{number},num-queues={self.queues},queue-size={self.queue_size},"
                + ",".join(f"{name}={'on' if on else 'off'}" for name, on in said.items())]


class Card(NamedTuple):
    """A vhost-user-net device: its back end's socket, and the guest's address.

    It interrupts by its pin (`vectors=0`): QEMU 7.2 without KVM ends when vhost-user-net's MSI-X vectors are unmasked.
    """

    socket: str | os.PathLike[str]
    address: str = "52:54:00:12:34:56"
    packed: bool = False

    def options(self, number: int) -> list[str]:
        """Return QEMU's options for device `number`."""
        return ["-chardev", f"socket,id=c{number},path={os.fspath(self.socket)}",
                "-netdev", f"vhost-user,id=n{number},chardev=c{number}",
                "-device", f"virtio-net-pci,netdev=n{number},mac={self.address},vectors=0,packed={'on' if self.packed else 'off'}"]


class Guest:
    """A QEMU process; its console goes to a file of its own, and is `console` at any time."""

    def __init__(self, kernel: bytes, initrd: bytes, devices: Sequence[Disk | Card], cores: int = 1, options: Sequence[str] = ()) -> None:
        """Start it; ValueError where there is no QEMU."""
        there, why = usable()
        if not there:
            raise ValueError(why)
        self._folder = tempfile.TemporaryDirectory(prefix="vmio-guest-")
        folder = Path(self._folder.name)
        for name, content in (("vmlinuz", kernel), ("initrd", initrd), ("console", b"")):
            (folder / name).write_bytes(content)
        self._console = folder / "console"
        arguments = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-accel", "tcg", "-m", str(MEMORY_MIB), "-smp", str(cores),
                     "-object", f"memory-backend-memfd,id=mem,size={MEMORY_MIB}M,share=on", "-machine", "pc,memory-backend=mem",
                     *(word for number, device in enumerate(devices) for word in device.options(number)),
                     "-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd"), "-append", APPEND,
                     "-serial", f"file:{self._console}", *options]
        self.process = subprocess.Popen([PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    @property
    def console(self) -> str:
        """What it has said so far."""
        return self._console.read_bytes().decode(errors="replace").replace("\r\n", "\n")

    def wait(self) -> str:
        """Wait until it has switched itself off, and return its console.  ValueError, with QEMU's own words, where it ended otherwise."""
        wrong = self.process.communicate()[1].decode(errors="replace").strip()
        if self.process.returncode:
            raise ValueError(f"QEMU has ended with {self.process.returncode}: {wrong or 'it said nothing'}")
        return self.console

    def close(self) -> None:
        """End it, and remove its files."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
