"""Linux's own hv_netvsc, unmodified, on our NetVSP: it comes up, pings a station behind the switch, and each ping's exits are counted.

The numbers are those of one kernel (its checksum is pinned) on one version of Unicorn.
"""

import re
from functools import cache

from tests.linux_rig import mark, start
from tests.unit.vmbus.test_netvsp_offloads import plain_sum
from vmio.boot.network import GUEST, PEER
from vmio.machine.net import headers
from vmio.machine.probes import watch

PINGS = 10
UP = ["await /sys/class/net/eth0", "ip link set eth0 up", "ip addr add 10.0.0.2/24 dev eth0", "sleep 1"]
COMMANDS = [
    *UP, "ping -c 1 10.0.0.1", "sleep 0.5", mark("ping"), f"ping -q -i 0.02 -c {PINGS} 10.0.0.1 > /tmp/ping", mark("over"), "cat /tmp/ping",
    "cat /sys/class/net/eth0/address /sys/class/net/eth0/speed /sys/class/net/eth0/carrier",
    "ping -q -c 2 -s 1472 10.0.0.1 | grep received", "ping -q -c 1 -W 1 10.0.0.9 | grep received", "echo hello | nc -w 1 10.0.0.1 7",
    mark("pull"), "sleep 1", "cat /sys/class/net/eth0/carrier", mark("plug"), "sleep 3", "cat /sys/class/net/eth0/carrier",
    "ip link set eth0 mtu 1400", "ip link set eth0 up", "sleep 1", "ping -q -c 1 10.0.0.1 | grep received", "ip link set eth0 down",
    "ifconfig eth0 hw ether 00:15:5d:00:01:77", "ip link set eth0 up", "ifconfig eth0 | grep HWaddr",
    "ping -q -c 2 -W 1 10.0.0.1 | grep received", "rmmod hv_netvsc", "ls /sys/class/net",
    "cat /proc/interrupts", "echo WARNINGS", "dmesg -r | grep '^<[0-4]>'", "echo NO MORE WARNINGS"]


@cache
def network():
    """(result, boot, frames of the guest's) of one boot with a network card."""
    boot, sent = start(COMMANDS, modules=("hv_netvsc",), net="split"), []
    watch(boot.network, "forwarded", lambda name, vlan, frame, took: sent.append(frame) if name == "guest" else None)
    port = boot.network.ports["guest"]
    watch(boot.console, "marked", lambda name: {"pull": lambda: port.link(False), "plug": lambda: port.link(True)}.get(name.split()[0], int)())
    return boot.run(), boot, sent


def test_the_card_comes_up_and_says_what_it_is():
    result, boot, _ = network()
    vsp = boot.guest.attachments[-1].vsp
    assert result.good and "\n00:15:5d:00:01:02\n10000\n1\n" in result.console_text, result.console_text[-3000:]
    assert not vsp.corrupt and not boot.guest.platform.bus.refused and vsp.dropped["invalid RNDIS"] == vsp.dropped["no section"] == 0


def test_pings_are_answered_small_and_large_and_by_nobody_where_nobody_is():
    result, boot, _ = network()
    said = re.findall(r"(\d+) packets transmitted, (\d+) packets received", result.console_text)
    assert said == [("1", "1"), (str(PINGS),) * 2, ("2", "2"), ("1", "0"), ("1", "1"), ("2", "0")]
    assert boot.network.ports["peer"].station.answered["echo"] == 1 + PINGS + 2 + 1


def test_a_ping_is_two_signals():
    """One for the request, and one for the completion of the record with its answer: the host sleeps again by then.  No register is touched."""
    result, _, _ = network()
    ping = result.phase("ping")
    assert ping.by("instruction", ())["VMCALL"] == 2 * PINGS and ping.by("device", ("uart", "hypervisor")) == {}


def test_frames_that_leave_have_checksums_that_the_host_has_filled_in():
    _, boot, sent = network()
    assert {frame[6:12] for frame in sent} == {GUEST} and PEER in {frame[:6] for frame in sent}
    requests = [frame for frame in sent if headers.parse(frame).destination_port == 7]
    assert requests
    for frame in requests:
        body = frame[34:14 + int.from_bytes(frame[16:18], "big")]
        assert plain_sum(frame[14:34]) == 0xFFFF and plain_sum(frame[26:34] + b"\0\x06" + len(body).to_bytes(2, "big") + body) == 0xFFFF


def test_a_kernel_that_gives_itself_another_address_is_heard_by_nobody():
    _, boot, _ = network()
    assert boot.network.ports["guest"].dropped["spoofed"] > 0


def test_the_link_goes_and_comes_and_the_channel_is_opened_anew():
    text = network()[0].console_text
    assert re.findall(r"^([01])$", text, re.M) == ["1", "0", "1"]
    assert "HWaddr 00:15:5D:00:01:77" in text and re.search(r"(?m)^lo$", text[text.index("HWaddr"):])


def test_the_kernel_warns_of_nothing_of_ours():
    text = network()[0].console_text
    lines = text[text.index("\nWARNINGS\n"):text.index("NO MORE WARNINGS")].splitlines()[2:]
    assert [line for line in lines if "net" in line or "hv" in line] == []
