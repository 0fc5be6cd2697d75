"""Linux's own hv_balloon on our dynamic memory: it agrees on the newest version, gives pages, takes them back, and takes more than it booted with."""

import re
from functools import cache

from tests.linux_rig import mark, start, warnings
from vmio.boot import machine as pc
from vmio.boot.kept import modules
from vmio.boot.params import BootParams
from vmio.drivers.balloon import floor
from vmio.machine.probes import watch
from vmio.modes import Machine
from vmio.vmbus.balloon import wire as w

MIB_PAGES = 256
LOOK = "grep -E 'MemTotal|MemFree|Committed_AS' /proc/meminfo"
COMMANDS = ["sleep 3", LOOK, mark("up"), "sleep 3", LOOK, mark("down"), "sleep 2.5", LOOK, mark("add"), "sleep 3", LOOK, mark("more"), "sleep 3", LOOK, "dmesg | grep -i balloon",
            "echo WARNINGS", "dmesg -r | grep '^<[0-4]>'", "echo NO MORE WARNINGS"]


def booted(monkeypatch):
    """(boot, result, {mark: what the host knows then}); the host does its part when the guest next sleeps."""
    monkeypatch.setattr(pc, "Machine", lambda: Machine(memory_mib=560))
    boot = start(COMMANDS, ["hv_balloon pressure_report_delay=0"], balloon=0, append="memhp_default_state=online")
    memory, known = boot.memory, {}
    acts = {"up": lambda: memory.inflate(64 * MIB_PAGES), "down": lambda: memory.deflate(memory.ballooned.total),
            "add": lambda: memory.hot_add(40 * MIB_PAGES), "more": lambda: memory.hot_add(88 * MIB_PAGES)}

    def marked(name):
        known[name] = (memory.report, memory.ballooned.total, boot.guest.host.memory.free_pages)
        if name in acts:
            boot.guest.host.at(0, lambda _: acts[name]())
    watch(boot.console, "marked", marked)
    return boot, boot.run(), known


@cache
def once():
    import pytest
    with pytest.MonkeyPatch.context() as patch:
        return booted(patch)


def seen(name):
    """What /proc/meminfo has said, in kB, each time."""
    return [int(value) for value in re.findall(rf"^{name}: +(\d+) kB", once()[1].console_text, re.M)]


def test_it_agrees_on_the_newest_version():
    boot, result, _ = once()
    assert result.good, result.console_text[-3000:]
    assert boot.memory.version == w.V2_0 and boot.memory.capabilities == w.BALLOONS | w.HOT_ADDS | 7 << 2
    assert boot.memory.corrupt == 0 and boot.memory.asked is None
    assert "hv_balloon: Using Dynamic Memory protocol version 2.0" in result.console_text


def test_its_memory_goes_and_comes_with_the_hosts():
    """64 MiB less in total, and as much back: exactly, as Linux takes what it gave out of its total; free memory follows."""
    total, free = seen("MemTotal"), seen("MemFree")
    assert [total[0] - total[1], total[2] - total[0], total[3] - total[0], total[4] - total[0]] == [65536, 0, 40 << 10, 128 << 10]
    assert abs(free[0] - free[1] - 65536) < 4096 and abs(free[2] - free[0]) < 4096 and 120_000 < free[4] - free[0] < 131072
    known = once()[2]
    assert known["down"][1] == 64 * MIB_PAGES and known["add"][1] == 0
    assert known["down"][2] - known["up"][2] == 64 * MIB_PAGES                   # in pieces of 2 MiB: no table more
    assert 0 <= known["up"][2] - known["add"][2] < 2 * 512                       # what alignment passes over


def test_what_it_reports_is_what_we_reckon():
    """Committed_AS, what the host has, and our `floor` of its total: to the page."""
    total, promised = seen("MemTotal"), seen("Committed_AS")
    for at, (name, ballooned) in enumerate((("up", 0), ("down", 64 * MIB_PAGES), ("add", 0))):
        report = once()[2][name][0]
        assert report.committed == promised[at] // 4 + ballooned + floor(total[at] // 4), name


def test_more_than_it_booted_with():
    """First 40 MiB of a region of 128, then the rest of it."""
    boot, result, _ = once()
    assert boot.memory.heard["HOT_ADD_RESPONSE"] == 2 and boot.memory.can_add and boot.guest.guest.ram == 384 << 20


def test_the_kernel_warns_of_nothing_of_ours():
    assert [line for line in warnings(once()[1]) if re.search("hv_|alloon|emory", line)] == []


def test_asked_by_the_command():
    boot = start(["sleep 3", LOOK], modules(BootParams(balloon=32)), balloon=32)
    result = boot.run()
    total = int(re.search(r"^MemTotal: +(\d+) kB", result.console_text, re.M)[1])
    assert boot.memory.ballooned.total == 32 * MIB_PAGES and seen("MemTotal")[0] - total == 32 * 1024
