"""A real Linux, booted in QEMU while the lesson goes on: its disks are our virtqueues, one of each kind.

    boot = start()                  in the background; None where nothing can be booted
    boot.result()                   waits: what Linux has read and counted, and what we have
"""

import hashlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from vmio import data
from vmio.linux import initramfs, kept
from vmio.machine.overlay import Overlay
from vmio.machine.storage import Image
from vmio.virtio.queue import need_event

VARIANTS = {
    "split, indirect, event idx": {}, "split, indirect": {"event_idx": False}, "split, event idx": {"indirect": False},
    "split": {"event_idx": False, "indirect": False}, "packed, indirect, event idx": {"packed": True},
    "packed, indirect": {"packed": True, "event_idx": False}, "packed, event idx": {"packed": True, "indirect": False}}
VARIABLE, NONE = "VMIO_LINUX", "none"   # in the environment: leave kernels alone, as if they were not there
MEDIUM = "licenses-ext4.img.gz"
READS, BLOCK = 256, 4096                # of each disk, one at a time, past Linux's own cache
MODULES = ("virtio_pci", "virtio_blk")
MINUTES = 10                            # of the clock on the wall, until nobody waits any more
Rule = Callable[[int, int, int], bool]


class Seen(NamedTuple):
    """A disk of the boot: what Linux has read (MD5) and counted, and what our back end has."""

    read: str
    interrupts: int
    requests: int
    kicks: int
    calls: int


@cache
def usable() -> tuple[bool, str]:
    """(True, "") where Linux can be booted in QEMU, or (False, why not and what to do)."""
    if os.environ.get(VARIABLE) == NONE:
        return False, f"Linux is left alone, for {VARIABLE} in the environment says so"
    if not sys.platform.startswith("linux"):
        return False, f"memory is shared as Linux does it, and this is {sys.platform}"
    from vmio.oracle.vhost_user import guest
    works, why = guest.usable()
    if not works:
        return False, why
    try:
        found = kept.find()
    except ValueError as error:
        return False, str(error)
    return (True, "") if found.whole else (False, f"{found.folder} is damaged: remove it, and run: python -m vmio linux get")


def expected() -> str:
    """Return the MD5 of what Linux reads of each disk, by the image itself."""
    with Image.open(data.path(MEDIUM)) as image:
        return hashlib.md5(image.read(0, READS * BLOCK // 512), usedforsecurity=False).hexdigest()


class Boot:
    """A boot with a disk for each of `variants` {name: options of QEMU's disk}; `rule` decides with events whether Linux is told."""

    def __init__(self, variants: Mapping[str, Mapping[str, Any]], rule: Rule = need_event) -> None:
        self._variants, self._rule = dict(variants), rule
        self._seen: dict[str, Seen] = {}
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> dict[str, Seen]:
        """Wait for its end, and return what was seen of each disk.  ValueError, one sentence, where it came to none."""
        self._thread.join(60 * MINUTES)
        if self._thread.is_alive():
            raise ValueError(f"Linux has not switched itself off after {MINUTES} minutes: it may wait for an answer that nobody told it of")
        if self._error is not None:
            raise ValueError(f"the boot ended early: {self._error}")
        return self._seen

    def _run(self) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="vmio-lesson-") as folder:
                self._boot(Path(folder))
        except Exception as error:  # noqa: BLE001  nobody is there to catch it: `result` says what went wrong
            self._error = error

    def _boot(self, folder: Path) -> None:
        from vmio.oracle.unixsocket import connections
        from vmio.oracle.vhost_user import guest
        from vmio.oracle.vhost_user.served.disk import Disk
        from vmio.oracle.vhost_user.session import Session
        image, files = Image.open(data.path(MEDIUM)), kept.find()
        sessions: dict[str, Session] = {}

        def serve(name: str, path: Path, ready: threading.Event) -> None:
            with connections(str(path)) as peers:
                ready.set()
                with next(peers) as peer:
                    sessions[name] = Session(peer, Disk(Overlay(image), say=lambda what: None), lambda what: None, self._rule)
                    sessions[name].run()
        paths = {name: folder / f"{n}.sock" for n, name in enumerate(self._variants)}
        threads = []
        for name, path in paths.items():
            ready = threading.Event()
            threads.append(threading.Thread(target=serve, args=(name, path, ready), daemon=True))
            threads[-1].start()
            ready.wait()
        disks = [guest.Disk(paths[name], **options) for name, options in self._variants.items()]
        initrd = initramfs.build(files, _commands(len(disks)), MODULES)
        with guest.Guest(files.read("vmlinuz"), initrd, disks) as machine:
            text = machine.wait()
        for thread in threads:
            thread.join()
        for n, (name, session) in enumerate(sessions_in(sessions, self._variants)):
            ring = session.rings[0]
            self._seen[name] = Seen(_found(rf"^VIRTIO {n} ([0-9a-f]+)", text), int(_found(rf"^ *\d+: +(\d+) .*virtio{n}-req\.0$", text)),
                                    ring.requests, ring.kicks, ring.calls)


def sessions_in(sessions: Mapping[str, Any], names: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return (name, session) in the order of `names`."""
    return [(name, sessions[name]) for name in names]


def _commands(disks: int) -> list[str]:
    """What the guest runs."""
    names = [f"/dev/vd{chr(ord('a') + n)}" for n in range(disks)]
    reads = [f"echo VIRTIO {n} $(dd if={name} bs={BLOCK} count={READS} iflag=direct 2>/dev/null | md5sum)" for n, name in enumerate(names)]
    return [f"await {' '.join(names)}", *reads, "cat /proc/interrupts"]


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.M)
    if found is None:
        raise ValueError(f"Linux has not said what was asked for ({pattern}): {text[-200:]!r}")
    return found[1]
