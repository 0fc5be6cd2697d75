"""The button *Save as CSV* of a panel: a file with the numbers that are drawn, at the setting that is shown."""

import csv

import pytest

import lab_server  # beside this file
from vmio.table import number

pytestmark = pytest.mark.browser

NOTEBOOKS = lab_server.ROOT / "notebooks"
NAME = next(path.name for path in NOTEBOOKS.glob("*trap_an_instruction.ipynb"))
DRAWN = """panel => [...panel.querySelectorAll('svg[data-kind=bars]')].map(svg => [svg.querySelector('.vmio-title').textContent,
    Object.fromEntries([...svg.querySelectorAll('.vmio-bar')].map((bar, at) => [bar.dataset.name, svg.querySelectorAll('.vmio-value')[at].textContent]))])"""


def saved(page, panel, folder):
    """The rows of the file that a click on the button gives."""
    with page.expect_download() as got:
        panel.get_by_role("button", name="Save as CSV").click()
    assert got.value.suggested_filename == "vmio-trap_an_instruction.csv"
    got.value.save_as(folder / "saved.csv")
    with open(folder / "saved.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_button_saves_what_is_drawn(desk, tmp_path):
    page = desk.run(NAME, 1280, 720)
    panel, before = page.locator(".vmio-panel").first, None
    for act in (lambda: None, lambda: panel.locator(".vmio-controls [role=slider]").first.press("End")):
        act()
        lab_server.settled(page)
        rows, drawn = saved(page, panel, tmp_path), panel.element_handle().evaluate(DRAWN)
        assert drawn and rows != before
        for title, bars in drawn:
            assert {row["name"]: number(float(row["value"])) for row in rows if row["shown in"] == title} == bars
        words = [line.strip() for line in panel.locator(".vmio-readout").inner_text().splitlines() if line.strip()]
        assert [row["name"].strip() for row in rows if row["shown in"] == "readout"] == words
        before = rows
