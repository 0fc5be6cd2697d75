"""Linux's own tulip, unmodified, on our 21140A: it reads the ROM, finds the PHY, comes up, pings, and each access is counted.

Debian's kernel for clouds has no such module, its ordinary one has.  The numbers are those of one kernel (its checksum is pinned) on
one version of Unicorn.
"""

import re

import pytest

from tests.linux_files import generic
from tests.linux_rig import mark
from vmio.boot.network import GUEST
from vmio.boot.params import BootParams
from vmio.boot.run import Boot
from vmio.linux import initramfs
from vmio.machine.probes import watch

pytestmark = pytest.mark.slow
PINGS = 10
COMMANDS = [
    # without IPv6: its announcements come after times drawn by chance, and one may fall among the pings
    "await /sys/class/net/eth0", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6", mark("open"), "ip link set eth0 up", "ip addr add 10.0.0.2/24 dev eth0", mark("wait"), "sleep 5",
    "ping -c 1 10.0.0.1", "sleep 0.5", mark("ping"), f"ping -q -i 0.02 -c {PINGS} 10.0.0.1 > /tmp/ping", mark("over"), "cat /tmp/ping",
    "cat /sys/class/net/eth0/address", "ping -q -c 3 -s 1472 10.0.0.1 | grep received", "ping -q -c 1 -W 1 10.0.0.9 | grep received",
    "ifconfig eth0 | grep -E 'HWaddr|errors'", "ip link set eth0 promisc on", "ping -q -c 1 10.0.0.1 | grep received",
    "ip link set eth0 down", "ip link set eth0 up", "sleep 1", "ping -q -c 2 10.0.0.1 | grep received", "rmmod tulip", "ls /sys/class/net",
    "dmesg | grep -i -E 'tulip|eth0'", "echo WARNINGS", "dmesg -r | grep '^<[0-4]>'", "echo NO MORE WARNINGS"]


@pytest.fixture(scope="module")
def booted(tmp_path_factory):
    """(result, boot, frames of the guest's) of one boot with Hyper-V's legacy adapter."""
    kernel, sent = generic(tmp_path_factory.mktemp("generic")), []
    boot = Boot(BootParams(quiet=True, timeout=600, net="emulated"), kernel.read("vmlinuz"), initramfs.build(kernel, COMMANDS, ["tulip"]))
    watch(boot.network, "forwarded", lambda name, vlan, frame, took: sent.append(frame) if name == "guest" else None)
    return boot.run(), boot, sent


def test_it_finds_the_card_and_its_phy(booted):
    result, _, _ = booted
    assert result.good, result.console_text[-3000:]
    for said in ("Digital DS21140 Tulip rev 32", "MII transceiver #1 config 3100 status 702c advertising 0501",
                 "Media MII (#11) described by a 21140 MII PHY (1) block", GUEST.hex(":"),
                 "Setting full-duplex based on MII#1 link partner capability of 4181"):
        assert said in result.console_text, said


def test_what_it_takes_to_find_it(booted):
    """The ROM and 32 addresses of PHYs, bit by bit: tests/unit/drivers/test_tulip_driver.py makes the same accesses."""
    result, _, _ = booted
    assert result.phase("power-on").by("device")["tulip"] == 22_316


def test_pings_are_answered_small_and_large(booted):
    result, boot, _ = booted
    said = re.findall(r"(\d+) packets transmitted, (\d+) packets received", result.console_text)
    assert said == [("1", "1"), (str(PINGS),) * 2, ("3", "3"), ("1", "0"), ("1", "1"), ("2", "2")]
    assert boot.network.ports["peer"].station.answered["echo"] == 1 + PINGS + 3 + 1 + 2


def test_a_ping_is_ten_accesses(booted):
    """Five reads and five writes, as counted of the same driver on QEMU."""
    result, _, _ = booted
    ping = result.phase("ping")
    assert ping.by("device", ("uart", "hypervisor"))["tulip"] == 10 * PINGS
    rows = [row for row in ping.rows if row.device == "tulip"]
    assert {kind: sum(row.count for row in rows if row.instruction == kind) for kind in ("IN", "OUT")} == {"IN": 5 * PINGS, "OUT": 5 * PINGS}


def test_frames_are_padded_and_the_guest_counts_no_errors(booted):
    result, boot, sent = booted
    assert sent and all(len(frame) >= 60 and frame[6:12] == GUEST for frame in sent)
    assert re.findall(r"errors:(\d+) dropped:(\d+)", result.console_text) == [("0", "0"), ("0", "0")]
    assert boot.guest.attachments[-1].card.receiver.missed == 0


def test_the_kernel_warns_of_nothing_of_ours(booted):
    text = booted[0].console_text
    lines = text[text.index("\nWARNINGS\n"):text.index("NO MORE WARNINGS")].splitlines()[2:]
    assert [line for line in lines if "tulip" in line or "eth0" in line] == []
    assert re.search(r"(?m)^lo$", text)
