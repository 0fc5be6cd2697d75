"""A lab's report: its questions and answers, tables and figures in a new folder, whole or not there."""

import csv
import errno
import io
import os
import re

import pytest

pytest.importorskip("ipywidgets")

from vmio.lab import charts
from vmio.lab.controls import slider
from vmio.lab.panel import Panel
from vmio.lab.report import TO_DO, Report
from vmio.machine import folder

ASKED = ["Who suffers?", "Which one would you sell?", "What is left?"]
ROWS = [("none", 1234567, 0.123456789), ("a|b", None, 2)]


def filled():
    report = Report("L9 · Try it", ASKED)
    report.table("Latency, by policy", ("policy", "requests", "us"), ROWS)
    report.chart(charts.bars("Bars [us]", {"a": 1, "b": 2}, "us"))
    return report


def test_a_new_report_asks_its_questions():
    text = Report("L9 · Try it", ASKED).text
    assert text.startswith("# L9 · Try it\n\n## Questions\n\n### 1. Who suffers?\n\n" + TO_DO)
    assert text.count(TO_DO) == 3 and "What was counted" not in text


def test_answers_stand_under_their_questions():
    report = filled()
    report.answer(2, "  none of them\n\nreally ")
    report.answer(2, "mClock")
    assert "### 2. Which one would you sell?\n\nmClock\n\n### 3." in report.text and report.text.count(TO_DO) == 2
    report.answer(3, " ")
    assert report.text.count(TO_DO) == 2 and "1 of 3 questions answered, 1 CSV file, 1 figure." in report.save("")
    assert "answered, 0 CSV files, 0 figures." in Report("L9", ASKED).save("")


def test_a_table_is_rounded_in_the_text_and_whole_in_its_file(tmp_path):
    report = filled()
    assert ("| policy | requests | us |\n| --- | --- | --- |\n| none | 1,234,567 | 0.123 |\n| a\\|b | - | 2 |\n\n"
            "(All digits: 01-latency-by-policy.csv.)") in report.text
    report.save(tmp_path / "mine")
    assert list(csv.reader(io.StringIO((tmp_path / "mine" / "01-latency-by-policy.csv").read_text()))) == [
        ["policy", "requests", "us"], ["none", "1234567", "0.123456789"], ["a|b", "", "2"]]


def test_the_folder_has_all_that_the_text_names(tmp_path):
    report = filled()
    said = report.save(tmp_path / "mine")
    assert said == f"{tmp_path}/mine/report.md is written: 0 of 3 questions answered, 1 CSV file, 1 figure."
    text = (tmp_path / "mine" / "report.md").read_text(encoding="utf-8")
    named = re.findall(r"0\d-[\w-]+\.(?:csv|png|svg)", text)
    assert text == report.text and sorted([*named, "report.md"]) == sorted(os.listdir(tmp_path / "mine"))
    assert (tmp_path / "mine" / "02-bars-us.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert 'xmlns="http://www.w3.org/2000/svg"' in (tmp_path / "mine" / "02-bars-us.svg").read_text()
    assert "![Bars \\[us\\]: a 1; b 2; in us.](02-bars-us.png)" in text


def test_equal_reports_are_equal_files(tmp_path):
    for name in ("one", "two"):
        filled().save(tmp_path / name)
    for name in os.listdir(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_panel_gives_what_it_shows_now(tmp_path):
    panel = Panel(lambda count: count, [slider("count", 1, 9, 1, 5, "Count")],
                  lambda count: (f"counted {count}", [charts.bars("Counts", {"a": count}, "exits"), None]), name="report sample")
    report = Report("L9", ASKED)
    panel.set(count=7)
    report.panel("My setting", panel)
    assert "### My setting\n\n```text\nCount: 7\n\ncounted 7\n```" in report.text
    report.save(tmp_path / "mine")
    assert sorted(os.listdir(tmp_path / "mine")) == ["01-my-setting.csv", "02-counts.png", "02-counts.svg", "report.md"]
    assert (tmp_path / "mine" / "01-my-setting.csv").read_text() == panel.csv()
    panel.close()


def test_no_report_is_written_over_another(tmp_path):
    report, place = filled(), tmp_path / "mine"
    report.save(place)
    (place / "report.md").write_text("my answers")
    with pytest.raises(ValueError, match="something has that name, and it stays; choose another name"):
        report.save(place)
    assert (place / "report.md").read_text() == "my answers"


def test_without_a_name_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert filled().save("") == ("Nothing is written yet: 0 of 3 questions answered, 1 CSV file, 1 figure. "
                                 "Give it the name of a new folder.")
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(folder.os, "rename", full)
    with pytest.raises(OSError, match="No space left on device; nothing was written"):
        filled().save(tmp_path / "mine")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("do, said", [
    (lambda report: report.answer(0, "x"), "question 0: this report has the questions 1 to 3"),
    (lambda report: report.answer(4, "x"), "question 4: this report has the questions 1 to 3"),
    (lambda report: report.answer(True, "x"), "question True: this report has the questions 1 to 3"),
    (lambda report: report.answer("1", "x"), "question '1': this report has the questions 1 to 3"),
    (lambda report: report.answer(1, 5), "the answer to question 1 is 5; an answer is text"),
    (lambda report: report.table("t", ("a", "b"), [(1,)]), r"row \[1\] of the table 't' has 1 cells, the table has 2 columns"),
    (lambda report: report.chart(None), "it has nothing to show"),
    (lambda report: Report("t", []), "a report needs a list of one question or more"),
    (lambda report: Report("t", "Why?"), "questions is 'Why\\?'; a report needs a list"),
])
def test_what_is_wrong_is_said_and_changes_nothing(do, said):
    report = filled()
    before = report.text
    with pytest.raises(ValueError, match=said):
        do(report)
    assert report.text == before
