"""A student's own driver in the live machine: its arrows and bars are what the exercise's machine counts, beside the reference's."""

import pytest

pytest.importorskip("ipywidgets")

from vmio.lab.check import exercise
from vmio.lab.own import ARROWS
from vmio.lessons.emulate_a_device import panel as lesson

BY_SECTOR = """
def read(cpu, lba, sectors, gpa):
    cpu.outb(0x1F6, 0xE0 | lba >> 24 & 0x0F)
    for register, value in ((0x1F2, sectors), (0x1F3, lba & 255), (0x1F4, lba >> 8 & 255), (0x1F5, lba >> 16), (0x1F7, 0x20)):
        cpu.outb(register, value)
    for sector in range(sectors):
        cpu.insw(0x1F0, gpa + 512 * sector, 256)
"""
ONE_BY_ONE = """
def send(cpu, data):
    for byte in data:
        while not cpu.inb(0x3FD) & 0x20:
            pass
        cpu.outb(0x3F8, byte)
"""


def written(text, name):
    """What a learner's cell defines."""
    space = {"__name__": "__main__"}
    exec(compile(text, "<cell 7>", "exec"), space)
    return space[name]


def arrows(panel):
    """{label: count} of the drawing."""
    return {one["label"]: one["count"] for one in panel.live.edges}


def bars(chart):
    """{name: text} of a chart."""
    return {bar["name"]: bar["text"] for bar in chart["bars"]}


def test_a_students_read_is_drawn_beside_the_reference():
    panel = lesson.own_disk_panel(written(BY_SECTOR, "read"))
    assert arrows(panel) == {"exits": 14, "to the worker": 14, "sectors": 8, "interrupts": 1}
    assert bars(panel.charts[0]) == {"yours": "14", "reference": "9"}
    assert bars(panel.charts[1]) == {"OUT": "6", "REP INS": "8"}
    assert panel.live.title == "IDE disk, yours" and panel.text.startswith("8 sectors from LBA 1,000 on\n")
    panel.set(driver="reference", sectors=64)
    assert arrows(panel) == {"exits": 12, "to the worker": 12, "sectors": 64, "interrupts": 1}
    assert bars(panel.charts[0]) == {"yours": "70", "reference": "12"}
    assert bars(panel.charts[1]) == {"OUT": "8", "REP INS": "4"} and panel.live.title == "IDE disk, reference"


@pytest.mark.parametrize("driver", ["yours", "reference"])
def test_every_arrow_and_bar_is_the_count_of_a_run_at_every_setting(driver):
    send, one = written(ONE_BY_ONE, "send"), exercise("send-through-a-fifo")
    panel = lesson.own_uart_panel(send)
    for length in panel.controls["length"].values[::3]:
        for pace in panel.controls["pace"].values:
            counts = dict(zip(("yours", "reference"), one.counts(send, length=length, pace=pace)))
            panel.set(driver=driver, length=length, pace=pace)
            assert arrows(panel) == {ARROWS[name][2]: count for name, count in counts[driver].items() if name in ARROWS}
            assert bars(panel.charts[0]) == {name: f"{both['exits']:,}" for name, both in counts.items()}
            assert counts[driver]["bytes sent"] == length
            assert max(map(len, panel.text.splitlines())) <= 38


def test_a_driver_that_is_not_written_gets_a_sentence_and_the_reference_still_runs():
    panel = lesson.own_disk_panel(exercise("read-with-few-exits").load("stub"))
    assert panel.text.splitlines() == ["8 sectors from LBA 1,000 on", "", "read is not written yet.", "Write it, run its check,",
                                       "and run this cell again."]
    assert panel.live.edges == [] and panel.charts == [None, None]
    panel.set(driver="reference")
    assert arrows(panel)["exits"] == 9 and bars(panel.charts[0]) == {"reference": "9"}


def test_a_driver_that_fails_or_never_ends_gets_a_sentence():
    panel = lesson.own_disk_panel(written("def read(cpu, lba, sectors, gpa):\n    return 1 // 0\n", "read"))
    assert panel.text.splitlines()[2:] == ["Your driver: error in your code, line 2: ZeroDivisionError: integer division or modulo by zero."]
    panel = lesson.own_disk_panel(written("def read(cpu, lba, sectors, gpa):\n    while True: pass\n", "read"))
    assert panel.text.splitlines()[2:] == ["Your driver: no end after 3,000,000 steps."]
