"""How many students a machine carries, what /proc says of a process, and that doc and measure are about the same machines."""

import os
import re
import sys
from pathlib import Path

import pytest

from vmio.bench import classroom

ROOT = Path(__file__).parents[3]


def test_memory_and_cores_each_bound_a_class():
    few = classroom.students(2, 4, server_mib=92, kernel_mib=164, slow=50, fast=100)
    assert few["memory allows"] == (4 * 1024 - 1024) // 256
    assert few["all drag at once, the dearest lesson"] == int(2 * 0.8 / (2 * (0.020 + 0.006)))
    assert few["all drag at once, the cheapest lesson"] == int(2 * 0.8 / (2 * (0.010 + 0.006)))


def test_twice_the_machine_is_twice_the_class_and_a_little_more():
    one, two = (classroom.students(*machine, 90, 140, 30, 500) for machine in ((2, 4), (4, 8)))
    assert all(2 * one[what] <= two[what] <= 2 * one[what] + 6 for what in one)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_memory_and_time_of_a_process_are_its_own():
    before, spent = classroom.own_mib(os.getpid()), classroom.cpu_s(os.getpid())
    kept = bytearray(os.urandom(1)) * (64 << 20)
    assert 60 < classroom.own_mib(os.getpid()) - before < 70
    while classroom.cpu_s(os.getpid()) - spent < 0.05:
        sum(kept[:10_000])
    assert len(kept) == 64 << 20


def test_the_table_of_the_document_follows_from_what_stands_below_it():
    """Its numbers are those of `students` with the numbers that the text names."""
    text = (ROOT / "docs" / "doors.md").read_text(encoding="utf-8")
    server, kernel = map(int, re.search(r"(\d+) MiB for a student's server;\s+\d+ to (\d+) MiB", text).groups())
    slow, fast = map(int, re.search(r"(\d+) moves\s+a core-second in \*Compare the modes\*, \d+ to (\d+) in the others", text).groups())
    rows = re.findall(r"^\| (\d+) cores, (\d+) GiB \| (\d+) \| (\d+) \| (\d+) \|$", text, re.M)
    assert [tuple(map(int, row[:2])) for row in rows] == list(classroom.MACHINES[:4])
    for cores, gib, *told in rows:
        counted = classroom.students(int(cores), int(gib), server, kernel, slow, fast).values()
        assert all(abs(int(one) - other) <= 1 + other // 100 for one, other in zip(told, counted, strict=True)), (cores, told, list(counted))
