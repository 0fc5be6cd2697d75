"""What *Boot a real Linux* says of its numbers is so."""

import hashlib

import pytest

pytest.importorskip("ipywidgets")

from vmio import data
from vmio.lessons.boot_a_real_linux import drivers, plans, recorded, tables
from vmio.machine.storage import Image


def test_linux_and_our_drivers_exit_equally_often_where_the_interface_leaves_no_choice():
    parts = {mode: (tables.split_exits(recorded.of(plans.DISKS).reading(mode).rows), tables.split_exits(drivers.reads(mode))) for mode in plans.MODES}
    for mode in ("split", "nvme", "passthrough"):
        linux, ours = parts[mode]
        assert {**linux, "timer": 0, "HLT": 16} == {**ours, "HLT": 16} and ours["HLT"] == 16
    assert [sum(linux.values()) for linux, _ in parts.values()] == [514, 32, 48, 18]
    assert [sum(ours.values()) for _, ours in parts.values()] == [320, 32, 48, 16]
    linux, ours = parts["emulated"]
    assert (linux["device"], ours["device"]) == (26 * 16, 17 * 16) and (linux["PIC"], ours["PIC"]) == (5 * 16, 2 * 16)


@pytest.mark.parametrize("mode, ticks", [("emulated", 1), ("split", 0), ("nvme", 0), ("passthrough", 1)])
def test_a_tick_of_linux_fell_into_the_reads_of_two_disks(mode, ticks):
    parts = tables.split_exits(recorded.of(plans.DISKS).reading(mode).rows)
    assert (parts["HLT"], parts["timer"] > 0) == (16 + ticks, ticks == 1)


def test_a_program_asks_cpuid_29_times_before_it_begins():
    seen = recorded.of(plans.DISKS)
    assert [seen.reading(mode).by("reason")["CPUID"] for mode in plans.MODES] == [29] * 4
    assert seen.phase("ready").by("reason", ("uart",)) == {"CPUID": 3 * 29}


def test_a_character_on_the_console_is_nearly_two_exits_and_the_console_is_most_of_a_boot_with_messages():
    seen = recorded.of(plans.CONSOLE)
    console = seen.exits - seen.all_exits()
    assert 1.85 < console / len(seen.plain["console"]) < 2 and 0.87 < console / seen.exits < 0.9


def test_two_thirds_of_a_boots_exits_come_before_the_first_program_and_most_are_no_disks():
    first, every = recorded.of(plans.DISKS).phases[0], recorded.of(plans.DISKS).all_exits()
    by = first.by("device", ("uart",))
    assert 0.64 < first.exits(("uart",)) / every < 0.69
    assert sum(by.get(device, 0) for device in ("ata", "bus master", "nvme")) < 0.2 * first.exits(("uart",)) and max(by, key=by.get) == "pci"


def test_without_the_clock_page_a_vmbus_read_exits_some_eighteen_more():
    more = tables.read_exits("split", plans.TRAPPED_CLOCK) - tables.read_exits("split")
    assert round(more / 16) == 18 and round(tables.read_exits("split", plans.TRAPPED_CLOCK) / 16) == 20


def test_an_interrupt_by_a_pin_costs_five_accesses_of_the_pic():
    rows = recorded.of(plans.PINS).reading("nvme").rows
    assert sum(row.count for row in rows if row.device == "pic") == 5 * 16


def test_by_pio_linux_reads_a_sector_with_a_string_instruction():
    rows = recorded.of(plans.PIO).reading("emulated").rows
    assert sum(row.count for row in rows if row.instruction == "REP INS") == 16 * 8
    assert not any(row.instruction == "REP INS" for row in recorded.of(plans.DISKS).reading("emulated").rows)


def test_linux_measures_the_timestamp_counter_with_seventeen_thousand_reads_of_one_port():
    run = max(recorded.of(plans.POLLS).runs, key=lambda run: run.times)
    assert (run.instruction, run.device, run.address, run.times) == ("IN", "pit", 0x42, 17_106)


def test_quiet_saves_most_then_the_clock_page_then_the_mode():
    exits = {choice: recorded.of(choice.name).exits for choice in plans.CHOICES}
    saved = [[exits[worse] - exits[better] for worse, better in pairs] for pairs in (
        [(one, one._replace(quiet=True)) for one in exits if not one.quiet],
        [(one, one._replace(clock_page=True)) for one in exits if not one.clock_page],
        [(one, one._replace(mode="split")) for one in exits])]
    assert min(saved[0]) > max(saved[1]) and min(saved[1]) > max(saved[2])
    assert min(exits, key=exits.get) == ("split", True, True)


def test_all_disks_have_given_linux_the_same_bytes():
    image = Image.open(data.path("licenses-ext4.img.gz")).read(0, 128)
    shown = [line.split()[0] for line in recorded.of(plans.DISKS).console.splitlines() if line.endswith("  -")]
    assert shown == [hashlib.md5(image).hexdigest()] * 4
