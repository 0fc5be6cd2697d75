"""A real Linux in a real QEMU sends through our virtqueues: each ping is answered, and it counts the frames that we count.

One boot with two cards, one for each form of ring; they interrupt by their pins (`Card` says why), so several calls may be one interrupt.
"""

import json
import re
import subprocess
import time
from contextlib import ExitStack

import pytest

from tests.command_rig import command
from tests.linux_files import kernel
from vmio.linux import initramfs
from vmio.oracle.vhost_user.guest import Card, Guest

pytestmark = pytest.mark.qemu

CARDS = {"eth0": False, "eth1": True}           # {name: packed}
SMALL, LARGE = 5, 2                             # pings, of 64 bytes and of a full frame


@pytest.fixture(scope="module")
def boot(installed, tmp_path_factory):
    """(what the console has said, {card: what its back end has counted}) of one boot."""
    folder, kept, commands = tmp_path_factory.mktemp("vhost-user"), kernel(), []
    for name in CARDS:
        commands += [f"await /sys/class/net/{name}", f"ip link set {name} up", f"ip addr add 10.0.0.2/24 dev {name}",
                     f"ping -q -i 0.02 -c {SMALL} 10.0.0.1", f"ping -q -i 0.02 -c {LARGE} -s 1472 10.0.0.1", f"ip link set {name} down",
                     f"ip addr flush dev {name}", f"echo {name} counts $(cat /sys/class/net/{name}/statistics/[rt]x_packets)",
                     f"echo {name} features $(cat /sys/class/net/{name}/device/features)"]
    with ExitStack() as stack:
        processes = []
        for name in CARDS:
            socket = folder / f"{name}.sock"
            process = subprocess.Popen(command("vhost-user", "--socket", socket, "--net", "--once", "--json"), stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            while not socket.exists():
                assert process.poll() is None
                time.sleep(0.05)
            processes.append(process)
        cards = [Card(folder / f"{name}.sock", f"52:54:00:12:34:5{n}", packed) for n, (name, packed) in enumerate(CARDS.items())]
        initrd = initramfs.build(kept, [*commands, "cat /proc/interrupts"], ("virtio_pci", "virtio_net"))
        with Guest(kept.read("vmlinuz"), initrd, cards) as guest:
            text = guest.wait()
        counts = [json.loads(process.communicate()[0])["front_ends"][0] for process in processes]
    return text, dict(zip(CARDS, counts))


@pytest.mark.parametrize("name", CARDS)
def test_every_ping_is_answered(boot, name):
    text, counts = boot
    assert re.findall(r"(\d+) packets transmitted, (\d+) packets received", text) == 2 * [(str(SMALL),) * 2, (str(LARGE),) * 2]
    assert counts[name]["answered"] == {"arp": 1, "echo": SMALL + LARGE} and counts[name]["dropped"] == 0
    assert re.search(rf"{name} features ([01]+)", text)[1][34] == str(int(CARDS[name]))


@pytest.mark.parametrize("name", CARDS)
def test_linux_counts_the_frames_that_we_count(boot, name):
    text, counts = boot
    received, sent = map(int, re.search(rf"{name} counts (\d+) (\d+)", text).groups())
    assert (received, sent) == (counts[name]["frames_in"], counts[name]["frames_out"])
    assert [ring["requests"] for ring in counts[name]["rings"]] == [received, sent] and received == 1 + SMALL + LARGE


@pytest.mark.parametrize("name", CARDS)
def test_no_interrupt_comes_that_we_have_not_sent(boot, name):
    text, counts = boot
    found, = re.findall(rf"^ *\d+: +(\d+) .*virtio{list(CARDS).index(name)}\b", text, re.M)
    assert 0 < int(found) <= sum(ring["calls"] for ring in counts[name]["rings"])
