"""What the lessons' texts say of their numbers is so."""

import re

import pytest

pytest.importorskip("ipywidgets")

from vmio import data
from vmio.attacks.catalogue import attacks, find
from vmio.lessons.break_isolation import panel as isolation
from vmio.lessons.break_isolation import tables
from vmio.lessons.emulate_a_device import panel as emulate
from vmio.lessons.share_a_device import panel as share
from vmio.lessons.trap_an_instruction import panel as trap


def test_polling_a_disk_takes_more_exits_and_less_time_than_its_interrupt():
    asked, woken = (emulate.read_once("pio", 8, "string I/O", interrupts, "server-2022") for interrupts in (False, True))
    assert (woken.exits_total, asked.exits_total) == (49, 72)
    assert asked.virtual_ns < woken.virtual_ns


def test_dmas_exits_do_not_grow_with_the_size_so_fewer_are_left_for_each_sector():
    small, large = (emulate.read_once("dma", sectors, "string I/O", True, "server-2022") for sectors in (1, 8))
    assert small.exits_total == large.exits_total == 20


def test_a_guest_that_asks_the_uart_exits_some_forty_times_a_byte():
    panel = emulate.uart_panel()
    panel.set(pace="baud")
    assert "exits 2,672, 41.750 per byte" in panel.text


def test_the_trace_shows_every_exit_and_each_begins_where_the_last_ended():
    cpu = trap.machine()
    cpu.outb(0x3F8, 65)
    cpu.inb(0x3FD)
    cpu.outsb(0x3F8, 0x2000, 100)
    cpu.load(0xFEC0_0000, 4)
    cpu.cpuid(0)
    cpu.rdmsr(0x4000_0020)
    cpu.hypercall(0)
    seen = list(cpu.trace)
    assert len(seen) == cpu.exits.total == 7
    assert seen[0].time == 0 and all(one.time + one.cost == other.time for one, other in zip(seen, seen[1:]))
    assert len(trap.trace_table(cpu).splitlines()) == 2 + 7


def test_the_number_for_fairness_prefers_the_policy_that_the_text_prefers():
    panel = share.panel()
    times = {}
    for policy in ("fifo", "drr", "fair", "mclock"):
        panel.set(policy=policy)
        times[policy] = float(re.search(r"^waits ([\d.]+) times", panel.text, re.M)[1])     # below it may stand which controls are idle
    assert times == {"fifo": 3.44, "drr": 1.44, "fair": 1.25, "mclock": 1.25}


def test_fewer_than_half_need_the_iommu_and_three_of_four_forged_interrupts_reach_nobody_without_it():
    harmful, all_of_them = tables.harmful("passthrough", "the IOMMU"), tables.ids("passthrough")
    assert (len(harmful), len(all_of_them)) == (6, 20)
    forged = {id: isolation.outcome(id, "the IOMMU").touched for id in all_of_them if id.startswith("msi-")}
    assert len(forged) == 4 and [id for id, touched in forged.items() if touched] == ["msi-any-vector"]
    assert forged["msi-any-vector"] == (("host", "interrupts", "changed"),)


def test_with_all_walls_up_nothing_is_reached_and_no_wall_is_superfluous():
    for id in attacks():
        assert not isolation.outcome(id).touched and isolation.outcome(id, "its defence").touched, id


def test_the_matrix_is_what_runs_of_its_own_touch():
    rows = [line.split("  ") for line in tables.reach_table().splitlines()[2:-2]]
    cells = {(row[0], row[1].strip()): [cell.strip() for cell in row[1:] if cell.strip()][1:]
             for row in ([part for part in row if part] for row in rows)}
    runs = {(attack.id, how): {one[:2] for one in attack.run(*how).touched} for attack in attacks().values()
            for how in ((True, True), (False, True), *[(True, False)] * (attack.mode == "passthrough"))}
    for (whose, what), found in cells.items():
        for cell, (mode, iommu) in zip(found, (("emulated", True), ("split", True), ("passthrough", True), ("passthrough", False), ("hypervisor", True))):
            touch = [[(whose, what) in runs[attack.id, how] for attack in attacks().values() if attack.mode == mode]
                     for how in ((True, iommu), (False, True))]
            assert cell == (f"{sum(touch[0])} of {sum(touch[1])}" if any(touch[0] + touch[1]) else "."), (whose, what, mode)
    assert len(cells) == 12 and tables.reach_table().endswith("0 of 89 with all walls up, 89 of 89 without their own")


def test_what_explore_asks_has_its_answer():
    assert isolation.outcome("dma-into-neighbour", "the IOMMU").touched and isolation.outcome("dma-into-neighbour", "its defence").touched
    assert isolation.outcome("ata-prd-into-neighbour", "its defence").touched and not isolation.outcome("ata-prd-into-neighbour", "the IOMMU").touched
    assert find("handover-disk").wall == "erase before reuse"
    assert {one.how for one in isolation.outcome("flood-of-requests", "its defence").touched} == {"late"}


def test_one_flood_costs_memory_and_no_time_to_speak_of():
    assert isolation.outcome("flood-of-messages", "its defence").touched == (("host", "itself", "filled"),)
    assert isolation.outcome("flood-of-messages", "its defence").slowdown == 1.09


def test_who_was_refused_is_counted_and_an_attack_that_works_is_not():
    assert (len(tables.noticed()), len(attacks())) == (58, 89)
    assert not isolation.outcome("scsi-short-answer").refused and not isolation.outcome("scsi-read-past-the-end", "its defence").refused
    silent = sum(not isolation.outcome(id, "its defence").refused for id in attacks())
    assert f"Of the {len(attacks())} attacks, each without its wall, {silent} do" in (data.LESSONS / "break_isolation/lesson.py").read_text(encoding="utf-8")
    assert isolation.outcome("scsi-read-past-the-end").refused == {"requests refused": 1}
    for line in tables.series_table().splitlines()[2:]:
        assert ("requests refused: 1" in line and " no " in line and line.endswith("nothing")) != (" yes " in line and line.endswith("RAM changed"))
