"""A real Linux in a real QEMU uses our virtqueues: it reads what is on the image, and counts the interrupts that we count.

One boot with a disk for each kind of ring; each has a back end of its own, a process as a user starts it.
"""

import hashlib
import json
import random
import re
import subprocess
import time
from contextlib import ExitStack

import pytest

from tests.command_rig import command
from tests.linux_files import kernel
from vmio.linux import initramfs
from vmio.oracle.vhost_user.guest import MODULES, Disk, Guest

pytestmark = pytest.mark.qemu

MIB = 1 << 20
VARIANTS = {
    "split, indirect, event idx": {}, "split, indirect": {"event_idx": False}, "split, event idx": {"indirect": False},
    "split": {"event_idx": False, "indirect": False}, "packed, indirect, event idx": {"packed": True},
    "packed, indirect": {"packed": True, "event_idx": False}, "packed, event idx": {"packed": True, "indirect": False},
    "two queues": {"queues": 2}}
NAMES = [f"vd{chr(ord('a') + n)}" for n in range(len(VARIANTS))]
FEATURES = {28: "indirect", 29: "event_idx", 34: "packed"}


def back_end(socket, image, *options):
    """A back end that listens."""
    process = subprocess.Popen(command("vhost-user", "--socket", socket, "--image", image, "--json", *options), stdout=subprocess.PIPE, text=True)
    while not socket.exists():
        assert process.poll() is None
        time.sleep(0.05)
    return process


def images(folder, names, size=8 * MIB):
    """A disk of noise for each name."""
    for n, name in enumerate(names):
        (folder / name).write_bytes(random.Random(n).randbytes(size))
    return [folder / name for name in names]


@pytest.fixture(scope="module")
def boot(installed, tmp_path_factory):
    """(what the console has said, what each back end has counted, the images) of one boot with all of them."""
    folder, kept = tmp_path_factory.mktemp("vhost-user"), kernel()
    disks = images(folder, NAMES)
    commands = [f"await {' '.join(f'/dev/{name}' for name in NAMES)}"]
    for name in NAMES:
        commands += [f"dd if=/dev/{name} of=/dev/null bs=4096 count=8 iflag=direct 2>/dev/null",
                     f"dd if=/dev/{name} of=/dev/null bs=262144 count=4 iflag=direct 2>/dev/null",
                     f"dd if=/dev/zero of=/dev/{name} bs=4096 seek=100 count=4 oflag=direct conv=fsync 2>/dev/null",
                     f"md5sum /dev/{name}", f"echo {name} features $(cat /sys/block/{name}/device/features)",
                     f"echo {name} queues $(ls /sys/block/{name}/mq | wc -l)", f"echo {name} serial $(cat /sys/block/{name}/serial)"]
    with ExitStack() as stack:
        processes = []
        for name, image, options in zip(NAMES, disks, VARIANTS.values()):
            process = back_end(folder / f"{name}.sock", image, "--once", "--queues", str(options.get("queues", 1)))
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
        initrd = initramfs.build(kept, [*commands, "cat /proc/interrupts"], MODULES)
        seen = [Disk(folder / f"{name}.sock", **options) for name, options in zip(NAMES, VARIANTS.values())]
        with Guest(kept.read("vmlinuz"), initrd, seen, cores=2) as guest:
            text = guest.wait()
        counts = [json.loads(process.communicate()[0])["front_ends"][0] for process in processes]
    return text, dict(zip(VARIANTS, counts)), dict(zip(VARIANTS, disks))


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_linux_reads_is_what_the_image_holds(boot, variant):
    text, counts, disks = boot
    name = NAMES[list(VARIANTS).index(variant)]
    image = disks[variant].read_bytes()
    assert f"{hashlib.md5(image).hexdigest()}  /dev/{name}" in text
    assert not any(image[400 * 1024:416 * 1024])                    # what Linux has written
    assert counts[variant]["written_bytes"] == 16384 and counts[variant]["flushes"] == 1 and counts[variant]["errors"] == 0
    assert f"{name} serial vmio" in text


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_ring_is_of_the_kind_that_was_asked_for(boot, variant):
    text, _, _ = boot
    name = NAMES[list(VARIANTS).index(variant)]
    bits = re.search(rf"{name} features ([01]+)", text)[1]
    wanted = {"indirect": True, "event_idx": True, "packed": False, **VARIANTS[variant]}
    assert {feature: bits[bit] == "1" for bit, feature in FEATURES.items()} == {feature: wanted[feature] for feature in FEATURES.values()}
    assert f"{name} queues {wanted.get('queues', 1)}" in text


@pytest.mark.parametrize("variant", VARIANTS)
def test_linux_counts_the_interrupts_that_we_count(boot, variant):
    """With events exactly; without them, calls that come while one is on its way are one interrupt."""
    text, counts, _ = boot
    number, rings = list(VARIANTS).index(variant), counts[variant]["rings"]
    found = [sum(map(int, cells.split())) for cells in re.findall(rf"^ *\d+:((?: +\d+){{2}}) .*virtio{number}-req\.\d+$", text, re.M)]
    calls = [ring["calls"] for ring in rings]
    assert len(found) == len(calls) and sum(calls) > 50
    if VARIANTS[variant].get("event_idx", True):
        assert found == calls
    else:
        assert 0.8 * calls[0] <= found[0] <= calls[0]


def test_a_back_end_that_is_killed_is_followed_by_another_and_linux_notices_nothing(installed, tmp_path):
    kept, (image,) = kernel(), images(tmp_path, ["disk"], 32 * MIB)
    commands = ["await /dev/vda", "mark reading", "md5sum /dev/vda",
                "dd if=/dev/urandom of=letter bs=65536 count=64 2>/dev/null", "mark writing",
                "dd if=letter of=/dev/vda bs=4096 seek=512 oflag=direct conv=fsync 2>/dev/null", "md5sum letter",
                "dd if=/dev/vda bs=4096 skip=512 count=1024 iflag=direct 2>/dev/null | md5sum"]
    before = hashlib.md5(image.read_bytes()).hexdigest()
    socket = tmp_path / "s"
    process = back_end(socket, image)
    try:
        with Guest(kept.read("vmlinuz"), initramfs.build(kept, commands, MODULES), [Disk(socket, reconnect_s=1)]) as guest:
            for mark in ("reading", "writing"):
                while f"MARK {mark}" not in guest.console:
                    assert guest.process.poll() is None, guest.console
                    time.sleep(0.05)
                time.sleep(0.3)
                process.kill()
                process.communicate()
                process = back_end(socket, image)
            text = guest.wait()
    finally:
        process.terminate()
        said = process.communicate()[0]
    letter = hashlib.md5(image.read_bytes()[2 * MIB:6 * MIB]).hexdigest()
    assert f"{before}  /dev/vda" in text
    assert text.count(f"{letter}  ") == 2, text
    assert "error" not in text.lower()
    assert json.loads(said)["front_ends"][0]["rings"][0]["requests"] > 0
