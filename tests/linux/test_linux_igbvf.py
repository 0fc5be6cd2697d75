"""Linux's own igbvf, unmodified, on a virtual function of our 82576, which comes by Linux's own pci-hyperv: it pings, and no access exits.

Debian's kernel for clouds has no such module, its ordinary one has.
"""

import re

import pytest

from tests.linux_files import generic
from tests.linux_rig import mark
from vmio.boot.network import GUEST
from vmio.boot.params import BootParams
from vmio.boot.run import Boot
from vmio.host.net.igb import LONGEST, MULTICAST, RESET, SET_MAC
from vmio.linux import initramfs

pytestmark = pytest.mark.slow
PINGS = 10
COMMANDS = [
    # without IPv6: its announcements come after times drawn by chance, and one may fall among the pings
    "await /sys/class/net/eth0", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6", mark("open"), "ip link set eth0 up", "ip addr add 10.0.0.2/24 dev eth0", mark("wait"), "sleep 3",
    "ping -c 1 10.0.0.1", "sleep 0.5", mark("ping"), f"ping -q -i 0.02 -c {PINGS} 10.0.0.1 > /tmp/ping", mark("over"), "cat /tmp/ping",
    "cat /sys/class/net/eth0/address", "ping -q -c 3 -s 1472 10.0.0.1 | grep received", "ping -q -c 1 -W 1 10.0.0.9 | grep received",
    "ifconfig eth0 | grep -E 'HWaddr|errors'", "ip link set eth0 down", "ip link set eth0 up", "sleep 1", "ping -q -c 2 10.0.0.1 | grep received",
    "cat /proc/interrupts", "rmmod igbvf", "ls /sys/class/net", "dmesg | grep -i -E 'igbvf|eth0'", "echo WARNINGS", "dmesg -r | grep '^<[0-4]>'",
    "echo NO MORE WARNINGS"]


@pytest.fixture(scope="module")
def booted(tmp_path_factory):
    """(result, boot) of one boot with a virtual function."""
    kernel = generic(tmp_path_factory.mktemp("generic"))
    boot = Boot(BootParams(quiet=True, timeout=600, net="passthrough"), kernel.read("vmlinuz"),
                initramfs.build(kernel, COMMANDS, ["pci-hyperv", "igbvf"]))
    return boot.run(), boot


def test_it_finds_the_function_its_address_and_the_link(booted):
    result, _ = booted
    assert result.good, result.console_text[-3000:]
    for said in ("igbvf 0001:00:00.0: Intel(R) 82576 Virtual Function", f"igbvf 0001:00:00.0: Address: {GUEST.hex(':')}",
                 "igbvf 0001:00:00.0: Link is Up 1000 Mbps Full Duplex"):
        assert said in result.console_text, said


def test_pings_are_answered_small_and_large(booted):
    result, boot = booted
    said = re.findall(r"(\d+) packets transmitted, (\d+) packets received", result.console_text)
    assert said == [("1", "1"), (str(PINGS),) * 2, ("3", "3"), ("1", "0"), ("2", "2")]
    assert boot.network.ports["peer"].station.answered["echo"] == 1 + PINGS + 3 + 2
    assert re.findall(r"errors:(\d+) dropped:(\d+)", result.console_text) == [("0", "0"), ("0", "0")]


def test_no_access_of_a_ping_exits(booted):
    """What is left are the guest's sleep, its timer, and interrupts that stop it while it runs."""
    ping = booted[0].phase("ping")
    assert set(ping.by("device")) <= {"uart", "hypervisor"}
    assert {row.instruction for row in ping.rows if row.device == "hypervisor"} <= {"CPUID", "WRMSR", "RDMSR", "HLT", "EXTERNAL INTERRUPT"}


def test_what_it_says_to_the_hosts_driver(booted):
    """Each opening resets; the function's address is the host's; nothing was refused but what Linux's own igb refuses: clearing a list."""
    attached = booted[1].guest.attachments[-1]
    driver = attached.nic.driver
    assert set(driver.heard) == {RESET, SET_MAC, MULTICAST, LONGEST} and set(+driver.refused) <= {SET_MAC}
    assert driver.vfs[0].address == GUEST and attached.nic.card.dropped == {"spoofed": 0, "no wire": 0}


def test_its_interrupts_are_messages_by_the_queue(booted):
    counts = {name: int(count) for count, name in re.findall(r"(\d+) +Hyper-V PCIe MSI \d+-edge +(eth0\S*)", booted[0].console_text)}
    assert counts.keys() == {"eth0-tx-0", "eth0-rx-0", "eth0"} and counts["eth0-tx-0"] >= PINGS <= counts["eth0-rx-0"]


def test_the_kernel_warns_of_nothing_of_ours(booted):
    text = booted[0].console_text
    lines = text[text.index("\nWARNINGS\n"):text.index("NO MORE WARNINGS")].splitlines()[2:]
    assert not [line for line in lines if re.search("igbvf|eth0|hv_|0001:00", line)]
