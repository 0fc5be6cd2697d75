"""*Boot a real Linux* as it was recorded: whose kernel, how much, which numbers; and where no Linux is, it says what is missing."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("ipywidgets")

from vmio import data
from vmio.lessons.boot_a_real_linux import detect, live, plans, recorded
from vmio.lessons.boot_a_real_linux.follow import FRAMES, Symbols
from vmio.linux.packages import BUSYBOX, KERNEL, files
from vmio.processors.unicorn.package import VERSION

FOLLOWED = [name for name, plan in plans.ALL.items() if plan.follow and name != plans.SYMBOLS]


def test_it_is_of_the_kernel_that_linux_get_keeps():
    of = recorded.file()["of"]
    kept = {file.name: file.sha256 for file in files()}
    assert of["unicorn"] == VERSION
    assert of["packages"] == {package.name: [package.version, package.sha256] for package in (KERNEL, BUSYBOX)}
    assert of["files"] == {name: kept[name] for name in ("vmlinuz", "busybox")}


def test_every_boot_is_in_it_and_none_else_and_all_is_small():
    assert list(recorded.file()["boots"]) == list(plans.ALL)
    assert len(plans.CHOICES) == 16
    assert data.path(recorded.FILE).stat().st_size < 300 << 10


@pytest.mark.parametrize("name", plans.ALL)
def test_each_boot_has_read_its_disks_and_switched_itself_off(name):
    seen, params = recorded.of(name), plans.ALL[name].params
    assert seen.plain["ended"] == ("power off" if params.platform == "hyper-v" else "halted")     # a PC of 1996 has no soft off
    names = ["power-on", "ready", *(plans.READ + mode for mode in params.modes), *[plans.CHECKED] * bool(params.modes), plans.SHOWN, *[plans.SYMBOLS] * (name == plans.SYMBOLS), "done"]
    assert [phase.name for phase in seen.phases] == names
    assert sum(phase.ns for phase in seen.phases) == seen.virtual_ns
    assert ("quiet" in seen.plain["command_line"].split()) is params.quiet
    assert all(seen.reading(mode).exits(("uart",)) >= plans.READS for mode in params.modes)     # it slept, at least


@pytest.mark.parametrize("name", FOLLOWED)
def test_the_last_moment_of_a_followed_boot_is_its_end(name):
    seen = recorded.of(name)
    assert len(seen.frames) == FRAMES + 1 and seen.frames[0].ns == 0
    last = seen.frames[-1]
    assert last.ns == seen.virtual_ns and last.characters == len(seen.plain["console"])
    assert sum(last.reasons.values()) == sum(last.devices.values()) == seen.exits
    assert all(one.ns <= other.ns and one.characters <= other.characters and sum(one.reasons.values()) <= sum(other.reasons.values())
               for one, other in zip(seen.frames, seen.frames[1:]))


def test_linux_counts_the_interrupts_that_it_was_given():
    seen = recorded.of(plans.DISKS)
    counts = {label: count for label, (count, _) in seen.interrupts().items()}
    assert (counts["14"], counts["HYP"], counts["HVS"]) == tuple(seen.delivered[vector] for vector in (0x3E, 0xF3, 0xED))


def test_addresses_find_their_functions():
    symbols = Symbols("ffffffff81000000 T _text\nffffffff81000100 t native_cpuid\nffffffffc0000000 t ata_sff_check_status\t[libata]\n"
                      "ffffffff81000180 d data\n0000000000000010 A nothing\n")
    assert symbols.at(0xFFFF_FFFF_8100_0104) == ("native_cpuid", "", 0xFFFF_FFFF_8100_0100)
    assert symbols.at(0xFFFF_FFFF_8100_0190) == ("native_cpuid", "", 0xFFFF_FFFF_8100_0100)
    assert symbols.at(0xFFFF_FFFF_C000_0000) == ("ata_sff_check_status", "libata", 0xFFFF_FFFF_C000_0000)
    assert symbols.at(0x40_1000) == symbols.at(0xFFFF_FFFF_8000_0000) == ("", "", 0)


def test_where_linux_is_left_alone_a_sentence_says_so():
    code = ("from vmio.lessons.boot_a_real_linux import detect, live, recorded\n"
            "print(live.usable()); print(recorded.of('disks', live=True).exits); print(detect.detected(lambda number: (0, 0, 0, 0)))")
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, live.VARIABLE: live.NONE}, capture_output=True, text=True, timeout=120)
    usable, exits, said = done.stdout.splitlines()
    assert usable == "(False, 'Linux is left alone, for VMIO_LINUX in the environment says so')"
    assert int(exits) == recorded.of("disks").exits
    assert said == ("Nobody can be asked here: Linux is left alone, for VMIO_LINUX in the environment says so. "
                    "The check above knows what Linux would say.")


def test_without_a_kernel_or_unicorn_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.delenv(live.VARIABLE, raising=False)
    monkeypatch.setattr(live.package, "missing", lambda: "machine code needs Unicorn: pip install unicorn")
    assert live.usable.__wrapped__() == (False, "machine code needs Unicorn: pip install unicorn")
    monkeypatch.setattr(live.package, "missing", lambda: None)
    monkeypatch.setattr(live.kept, "default_folder", lambda: tmp_path)
    assert live.usable.__wrapped__() == (False, f"there is no kernel in {tmp_path}: vmio linux get takes one from Debian")


def test_nobody_is_asked_before_an_answer_was_tried():
    assert detect.detected(lambda number: ...) == "not attempted yet"


@pytest.mark.parametrize("answer", [5, "four", (1, 2, 3), (1, 2, 3, -1), (1, 2, 3, 1 << 32), (1, 2, 3, 4.0), None])
def test_what_is_no_answer_of_cpuids_is_no_machine(answer):
    said = detect.detected(lambda number: answer if number == 0x4000_0003 else (0, 0, 0, 0))
    assert said == f"Linux was not booted: leaf 40000003h is {answer!r}; CPUID answers with four numbers of 32 bits."


def test_the_file_is_written_a_boot_a_line():
    lines = data.path(recorded.FILE).read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(plans.ALL) + 3 and json.loads(lines[0].removesuffix(",") + "}")
