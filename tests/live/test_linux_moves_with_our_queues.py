"""A guest moves from one QEMU to another while it reads: our dirty log names the pages that we write, and the other back end goes on where the first one was.

What Linux has read stays in its page cache, so that it moves with its memory; a page that the log had missed would be found by the MD5 of all.
"""

import hashlib
import json
import socket
import time
from contextlib import ExitStack

import pytest

from tests.linux_files import kernel
from tests.live.test_linux_on_our_queues import MIB, back_end, images
from vmio.linux import initramfs
from vmio.oracle.vhost_user.guest import MODULES, Disk, Guest

pytestmark = pytest.mark.qemu

SIZE, STEPS = 24, 96                # MiB of the disk, and parts in which it is read


class Monitor:
    """QEMU's own words (QMP) at a Unix socket."""

    def __init__(self, path):
        while not path.exists():
            time.sleep(0.05)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("rw")
        self.lines.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.lines.flush()
        while "event" in (said := json.loads(self.lines.readline())):
            pass
        return said["return"]

    def close(self):
        self.lines.close()
        self.socket.close()


def test_a_guest_moves_while_it_reads(installed, tmp_path):
    kept, (image,) = kernel(), images(tmp_path, ["disk"], SIZE * MIB)
    part = SIZE * MIB // STEPS
    reads = f"for n in $(seq 0 {STEPS - 1}); do dd if=/dev/vda of=/dev/null bs={part} count=1 skip=$n 2>/dev/null; sleep 0.03; done"
    commands = ["await /dev/vda", "exec 3</dev/vda", f"mark go; {reads}; md5sum /dev/vda"]       # while it is open its pages stay
    initrd, guests = initramfs.build(kept, commands, MODULES), []
    with ExitStack() as stack:
        processes = {name: back_end(tmp_path / name, image, "--once") for name in ("from", "to")}
        for name, process in processes.items():
            stack.callback(process.wait)
            stack.callback(process.kill)
            options = ["-qmp", f"unix:{tmp_path / name}-qmp,server=on,wait=off", *(["-incoming", f"unix:{tmp_path / 'way'}"] if guests else [])]
            guests.append(stack.enter_context(Guest(kept.read("vmlinuz"), initrd, [Disk(tmp_path / name)], options=options)))
        here, there = (Monitor(tmp_path / f"{name}-qmp") for name in processes)
        stack.callback(here.close)
        stack.callback(there.close)
        while "MARK go" not in guests[0].console:
            assert guests[0].process.poll() is None, guests[0].console
            time.sleep(0.1)
        here.ask("migrate", uri=f"unix:{tmp_path / 'way'}")
        while (status := here.ask("query-migrate").get("status")) not in ("completed", "failed"):
            time.sleep(0.2)
        assert status == "completed"
        here.ask("quit")
        text = guests[1].wait()
        first, second = (json.loads(process.communicate()[0])["front_ends"][0] for process in processes.values())
    assert f"{hashlib.md5(image.read_bytes()).hexdigest()}  /dev/vda" in text
    assert first["read_bytes"] > MIB and second["read_bytes"] > MIB and first["errors"] == second["errors"] == 0
    assert first["read_bytes"] + second["read_bytes"] < 1.5 * SIZE * MIB           # nothing was read again: the MD5 is of what has moved
