"""A real Linux reads and writes a disk of ours by virtio, through either form of queue: the strongest judge of both.

Its own `virtio_pci` and `virtio_blk`, modules of Debian's kernel, negotiate, set the queue up and drive it; by its own
count it has had as many interrupts as we have sent.
"""

import hashlib
import re
from functools import cache

import pytest

from tests.linux_rig import BLOCK, IMAGE, READS, mark, start
from vmio.boot.kept import modules
from vmio.boot.params import BootParams
from vmio.machine.probes import watch
from vmio.virtio import features as f

COMMANDS = ["await /dev/vda", mark("read vda"), f"dd if=/dev/vda of=/tmp/read bs={BLOCK} count={READS} iflag=direct 2>/dev/null", mark("over vda"),
            "cat /sys/block/vda/serial; echo", "echo CACHE $(cat /sys/block/vda/queue/write_cache)", "md5sum /dev/vda",
            "dd if=/dev/urandom of=/tmp/noise bs=64k count=8 2>/dev/null", "dd if=/tmp/noise of=/dev/vda bs=64k seek=4 oflag=direct conv=fsync 2>/dev/null",
            "md5sum /tmp/noise", "grep virtio /proc/interrupts", "echo WARNINGS", "dmesg -r | grep '^<[0-4]>.*\\(virtio\\|vda\\|I/O\\)'", "echo NO MORE WARNINGS"]
BY = {"split": 0, "packed": f.RING_PACKED}


@cache
def boot(virtqueue):
    """(result, device, its disk, features that were agreed on, function) of one boot."""
    params = {"modes": ("split",), "dialect": "virtio", "virtqueue": virtqueue}
    whole = start(COMMANDS, modules(BootParams(**params)), virtual_timeout=60_000, **params)
    attached = next(each for each in whole.guest.attachments if hasattr(each, "device"))
    agreed = []
    watch(attached.device, "ready", agreed.append)
    result = whole.run()
    return result, attached.device, whole.media["split"], agreed, attached.function


@pytest.mark.parametrize("virtqueue", BY)
def test_every_byte_is_there(virtqueue):
    result, device, medium, agreed, _ = boot(virtqueue)
    assert result.good, result.sentence()
    assert f"{hashlib.md5(IMAGE).hexdigest()}  /dev/vda" in result.console_text
    noise, = re.findall(r"^(\w{32})  /tmp/noise", result.console_text, re.M)
    assert hashlib.md5(medium.read(4 * 128, 8 * 128)).hexdigest() == noise
    assert device.broken is None and "CACHE write back" in result.console_text and "\nVMIO" in result.console_text
    assert agreed == [agreed[0]] and agreed[0] & f.RING_PACKED == BY[virtqueue]
    assert agreed[0] & (f.INDIRECT_DESC | f.EVENT_IDX | f.VERSION_1) == f.INDIRECT_DESC | f.EVENT_IDX | f.VERSION_1
    text = result.console_text
    assert not [line for line in text[text.rindex("\nWARNINGS"):text.rindex("NO MORE WARNINGS")].splitlines()[2:] if line.strip()]


@pytest.mark.parametrize("virtqueue", BY)
def test_a_read_is_one_exit_at_a_doorbell(virtqueue):
    """Where the same kernel's ATA driver needs 26 accesses by DMA, and hundreds by PIO."""
    result, *_ = boot(virtqueue)
    phase = next(phase for phase in result.phases if phase.name == "read vda")
    at_disk = {(row.device, row.size): row.count for row in phase.rows if row.device.startswith("virtio")}
    assert at_disk == {("virtio doorbell", 2): READS}


@pytest.mark.parametrize("virtqueue", BY)
def test_the_guest_counts_the_interrupts_that_we_have_sent(virtqueue):
    result, _, _, _, function = boot(virtqueue)
    counted, = re.findall(r"^ *\d+: +(\d+) +PCI-MSI.*virtio0-req\.0", result.console_text, re.M)
    config, = re.findall(r"^ *\d+: +(\d+) +PCI-MSI.*virtio0-config", result.console_text, re.M)
    assert int(counted) > READS and (int(counted), config, function.blocked) == (function.messages, "0", 0)
