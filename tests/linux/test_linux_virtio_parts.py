"""A real Linux on our virtio balloon and console: its own virtio_balloon gives pages and takes them back, its own virtio_console writes, reads and knows the window."""

import re
from functools import cache

from tests.linux_rig import mark, start
from vmio.boot import machine as pc
from vmio.machine.probes import watch
from vmio.modes import Machine, attachment
from vmio.virtio import balloon_wire as w
from vmio.virtio import features as f

MIB_PAGES, PAGES = 256, 16 * 256
TYPED = b"typed by the host\n"
LOOK = "grep -E 'MemTotal|MemFree' /proc/meminfo"
COMMANDS = ["await /dev/hvc0", "sleep 0.3", LOOK, mark("up"), "sleep 1", LOOK, mark("down"), "sleep 1", LOOK,
            mark("typed"), "head -c 18 /dev/hvc0 > /tmp/typed & sleep 0.5; cat /tmp/typed", "stty size < /dev/hvc0 | sed 's/^/SIZE /'",
            "echo 'said by Linux' > /dev/hvc0", "seq 1 2000 > /dev/hvc0", "sleep 0.2", "grep virtio /proc/interrupts"]


@cache
def boot():
    """(result, balloon, console, what it has said, {mark: (pages given, the host's free frames, what Linux says that it gave), "reports": its statistics}, features agreed on)."""
    import pytest
    said = bytearray()
    parts = [attachment("memory", "split", dialect="virtio"), attachment("console", "split", dialect="virtio", sink=said.extend, size=(100, 31))]

    class WithParts(Machine):
        def guest(self, *names, **options):
            guest = super().guest(*names, **options)
            for part in parts:
                guest.attach(part)
            return guest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pc, "Machine", WithParts)
        whole = start(COMMANDS, ["virtio_pci", "virtio_balloon", "virtio_console"], virtual_timeout=60_000)
    balloon, console = (part.device for part in parts)
    known, agreed = {"reports": []}, []
    watch(balloon, "reported", known["reports"].append)
    acts = {"up": lambda: balloon.want(PAGES), "down": lambda: balloon.ask_stats() and balloon.want(0), "typed": lambda: (console.type_text(TYPED), console.resize(120, 40))}
    for each in (balloon, console):
        watch(each, "ready", agreed.append)

    def marked(name):
        known[name] = balloon.given.total, whole.guest.host.memory.free_pages, balloon.actual
        if name in acts:
            whole.guest.host.at(0, lambda _: acts[name]())
    watch(whole.console, "marked", marked)
    return whole.run(), balloon, console, said, known, agreed


def test_its_memory_goes_and_comes_by_the_page():
    result, balloon, _, _, known, agreed = boot()
    assert result.good, result.sentence()
    assert balloon.broken is None and agreed[0] & w.MUST_TELL_HOST and agreed[0] & w.STATS_VQ and agreed[0] & f.EVENT_IDX
    total = [int(kb) for kb in re.findall(r"^MemTotal: +(\d+) kB", result.console_text, re.M)]
    assert [total[0] - total[1], total[2]] == [PAGES * 4, total[0]]
    assert known["down"][0] == known["down"][2] == PAGES and balloon.given.total == balloon.actual == 0
    assert PAGES - 16 <= known["down"][1] - known["up"][1] <= PAGES          # large pages that were split need tables
    assert balloon.guest.missing_ram() is None


def test_its_statistics_are_its_own():
    result, _, _, _, known, _ = boot()
    first, second = known["reports"]                      # as it came up, and when it was asked
    total = [int(kb) * 1024 for kb in re.findall(r"^MemTotal: +(\d+) kB", result.console_text, re.M)]
    assert [first[w.TOTAL], second[w.TOTAL]] == total[:2]
    assert {w.FREE, w.TOTAL, w.AVAILABLE, w.CACHES, w.MINOR_FAULTS} <= set(first) and second[w.MINOR_FAULTS] > first[w.MINOR_FAULTS]


def test_its_console_writes_reads_and_knows_the_window():
    result, _, console, said, _, _ = boot()
    text = result.console_text
    assert console.broken is None and console.typed == len(TYPED)
    assert "\ntyped by the host\n" in text and "SIZE 40 120" in text
    lines = said.replace(b"\r\n", b"\n")
    assert b"said by Linux\n" in lines and b"".join(b"%d\n" % n for n in range(1, 2001)) in lines
