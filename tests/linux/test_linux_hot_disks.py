"""Linux's own hv_storvsc, unmodified, while the host adds disks, makes one larger and takes them away: the guest does nothing but look."""

import hashlib
from functools import cache

from tests.linux_rig import BLOCK, IMAGE, READS, disk, mark, start
from vmio.machine.overlay import Overlay
from vmio.machine.probes import watch
from vmio.modes import attachment
from vmio.modes.live import State

SECTORS = len(IMAGE) // 512
LARGER = SECTORS + 2048


def read(name):
    """A command: what the disk's first blocks hold."""
    return f"dd if=/dev/{name} bs={BLOCK} count={READS} iflag=direct 2>/dev/null | md5sum"


def size(name):
    """A command: how many sectors Linux says the disk has."""
    return f"echo {name} has $(cat /sys/block/{name}/size) sectors"


COMMANDS = [
    "await /dev/sda", mark("controller"), "await /dev/sdb", read("sdb"), mark("lun"), "await /dev/sdc", read("sdc"),
    "cat /proc/scsi/scsi 2>/dev/null; ls /sys/bus/scsi/devices | tr '\\n' ' '; echo", size("sdc"), mark("grow"), "sleep 0.5", read("sdc"), "sleep 0.5", size("sdc"),
    f"dd if=/dev/sda of=/dev/sdc bs=512 count=8 seek={LARGER - 8} oflag=direct conv=notrunc 2>/dev/null && echo written behind the old end",
    mark("remove lun"), "sleep 1", "ls /dev/sdc 2>&1", mark("empty controller"), "sleep 1", mark("remove controller"), "sleep 1", "ls /dev/sdb 2>&1", read("sda"),
    "echo LOG", "dmesg | grep -i -E 'capacity|sd[abc]|storvsc|rescind'", "echo END OF LOG"]


@cache
def booted():
    """(result, boot, devices by name)."""
    boot = start(COMMANDS, modes=("split",))
    guest, devices = boot.guest, {}
    machine, first = guest.machine, guest.attachments[1]

    def told(name):
        what = name.partition(" ")[0] if not name.startswith("remove") else name
        if what == "controller":
            devices["sdb"] = machine.add(guest, attachment("disk", "split"), Overlay(disk()))
        elif what == "lun":
            devices["sdc"] = machine.add(guest, attachment("lun", "split", controller=first), Overlay(disk()))
        elif what == "grow":
            machine.grow(devices["sdc"], LARGER)
        elif what == "remove lun":
            machine.remove(devices["sdc"])
        elif what == "empty":
            devices["sdb"].attachment.vsp.remove_unit(0)
        elif what == "remove controller":
            machine.remove(devices["sdb"])
    watch(boot.console, "marked", lambda name: machine.host.at(machine.host.env.now, lambda _: told(name)))
    return boot.run(), boot, devices


def test_disks_that_come_are_found_and_read():
    """A controller by an offer, a LUN of the first controller by ENUMERATE_BUS: Linux looks by itself."""
    result, _, _ = booted()
    right = hashlib.md5(IMAGE[:READS * BLOCK]).hexdigest()
    assert result.good and result.console_text.count(right) == 4, result.console_text[-4000:]
    assert f"sdc has {SECTORS} sectors" in result.console_text


def test_a_disk_that_grows_is_as_large_as_it_says_with_its_next_request():
    """hv_storvsc knows the unit attention: it does the request again, and looks how large the disk is."""
    result, _, devices = booted()
    text = result.console_text
    assert f"sdc has {LARGER} sectors" in text and "written behind the old end" in text
    assert devices["sdc"].medium.read(LARGER - 8, 8) == IMAGE[:4096]


def test_disks_that_go_are_gone_for_linux_and_free_for_the_host():
    """A LUN by REMOVE_DEVICE, a controller by a rescind that Linux answers with RELID_RELEASED.

    The controller is emptied first, for Linux, told of a rescind alone, would flush a disk's cache over the channel that has
    gone, and wait for ever: storvsc_queuecommand() drops the error, and storvsc_eh_timed_out() always asks for more time.
    """
    result, boot, devices = booted()
    assert "ls: /dev/sdc: No such file or directory" in result.console_text and "ls: /dev/sdb: No such file or directory" in result.console_text
    assert {device.state for device in devices.values()} == {State.GONE}
    server = boot.guest.platform.bus
    assert server.handled["RELID_RELEASED"] == 1 and not server.refused
    assert boot.guest.attachments[1].vsp.disks.keys() == {0} and not boot.guest.attachments[1].vsp.corrupt
