"""Grading: whatever students hand in, a row for each exercise, and whatever their code does, the next row comes."""

import csv
import json
import os
import re

import pytest

pytest.importorskip("ipywidgets")

from tests.command_rig import refused, vmio
from vmio import data
from vmio.lessons import grade
from vmio.lessons.course import COURSE

RIGHT = ("def largest_record(write, read, size):\n    free = helper(size - (write - read) % size)\n"
         "    return free - 8 if free - 8 >= SMALLEST else 0\n")
ASK = 'ex = exercise("compute-free-space")\nex.check(largest_record)\n'


def notebook(path, *cells):
    """Write a notebook with code cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
        {"cell_type": "code", "source": cell, "outputs": [], "metadata": {}, "execution_count": None} for cell in cells]}))


def only(folder):
    row, = grade.grade(folder)
    return row


def test_what_a_notebook_defines_is_there_and_what_it_runs_is_not(tmp_path):
    notebook(tmp_path / "ada" / "any name.ipynb", "import math\nSMALLEST = 24\n", "raise SystemExit\n", "1 / 0\n",
             "panel = open('nowhere').read()\n", "%matplotlib inline\n!rm nothing\ndef helper(n):\n    return math.floor(n)\n",
             RIGHT, ASK)
    assert only(tmp_path) == grade.Row("ada", "ada/any name.ipynb", "compute-free-space", "pass",
                                       "right. 51 rings: wrapped, empty, and full but for 8 bytes.", "", "")


@pytest.mark.parametrize("cell, outcome, said", [
    ("def largest_record(write, read, size):\n    ...\n", "not attempted", "not attempted yet"),
    ("def largest_record(write, read, size):\n    return size\n", "wrong", "not right: input write 0, read 0, size 4096, "),
    ("def largest_record(:\n", "error in your code", "SyntaxError: invalid syntax (<code cell 1>, line 1)"),
    ("x = 1\n", "error in your code", "NameError: the notebook defines no largest_record"),
    ("def largest_record(write, read, size):\n    while True: pass\n", "error in your code", "is there a loop that never stops?"),
    ("def largest_record(write, read, size):\n    import os; os._exit(0)\n", "error in your code", "it ended Python itself"),
    ("@property\ndef largest_record(write, read, size):\n    return 5\n", "error in your code", "TypeError"),
    ("import nowhere_at_all\nlargest_record = nowhere_at_all.f\n", "error in your code", "NameError: name 'nowhere_at_all' is not defined"),
    ("largest_record = lambda write, read, size: (lambda free: free - 8 if free >= 32 else 0)(size - (write - read) % size)\n",
     "pass", "right. 51 rings"),
    ("def largest_record(write, read, size):\n    raise SystemExit\n", "error in your code", "SystemExit"),
])
def test_each_answer_ends_in_one_of_the_outcomes(cell, outcome, said, tmp_path):
    notebook(tmp_path / "one.ipynb", cell, ASK)
    row = only(tmp_path)
    assert (row.student, row.outcome) == ("one", outcome) and said in row.said and "\n" not in row.said


def test_the_last_definition_counts_and_a_broken_one_before_it_does_not(tmp_path):
    notebook(tmp_path / "one.ipynb", "def largest_record(:\n", "def helper(n): return n\nSMALLEST = 24\n", RIGHT, ASK)
    assert only(tmp_path).outcome == "pass"


@pytest.mark.parametrize("content, said", [
    (b"{", "it is no notebook (JSON, nbformat 4)"), (b"", "it is no notebook"), (b"[]", "it is no notebook"), (b"\xff\xfe", "it is no notebook"),
    (b'{"cells": 5}', "it is no notebook"), (b'{"cells": [{"cell_type": "code"}]}', "it is no notebook"),
    (b'{"worksheets": []}', "it is no notebook"), (b"[" * 100_000, "it is no notebook"), (b'{"cells": []}', "there is no exercise of this course in it"),
])
def test_a_file_that_is_no_lesson_is_a_row_and_the_others_are_graded(content, said, tmp_path):
    (tmp_path / "a.ipynb").write_bytes(content)
    notebook(tmp_path / "b.ipynb", "def helper(n): return n\nSMALLEST = 24\n", RIGHT, ASK)
    first, second = grade.grade(tmp_path)
    assert (first.outcome, second.outcome) == ("unreadable", "pass") and said in first.said


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_what_is_no_ordinary_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "a.ipynb")
    (tmp_path / "b.ipynb").symlink_to("/dev/zero")
    (tmp_path / "c.ipynb").mkdir()
    (tmp_path / "d.ipynb").symlink_to("nowhere")
    said = [(row.outcome, row.said) for row in grade.grade(tmp_path)]
    assert said[:3] == [("unreadable", f"it is {kind}, and no notebook") for kind in ("a FIFO", "a character device", "a folder")]
    assert said[3][0] == "unreadable" and "No such file" in said[3][1]


@pytest.mark.parametrize("cell", [
    "print('noise')\n", "class Loud:\n    print('noise' * 10**6)\n", "class Gone:\n    raise SystemExit\n", "class Gone:\n    raise KeyboardInterrupt\n",
    "import os\nclass Away:\n    os.chdir('/')\n", "import this\n", "class Env:\n    import os\n    os.environ.clear()\n",
    "import vmio.lab as kit\nkit.expect = None\n", "import matplotlib\n", "def largest_record(*_):\n    return 1\n",
    "class Files:\n    open('marks.csv', 'w').write('mine')\n    import os\n    [os.remove(name) for name in os.listdir('.')]\n",
])
def test_what_other_cells_do_is_no_matter(cell, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "marks.csv").write_text("the teacher's")
    notebook(tmp_path / "class" / "one.ipynb", cell, "def helper(n): return n\nSMALLEST = 24\n", RIGHT, ASK)
    assert only(tmp_path / "class").outcome == "pass"
    assert (tmp_path / "marks.csv").read_text() == "the teacher's" and os.getcwd() == str(tmp_path)
    assert capfd.readouterr() == ("", ""), "what an answer prints is not among the marks"


def test_names_and_sentences_are_one_line_that_a_terminal_can_show(tmp_path):
    for name in ("a\x1b[31m\n.ipynb", b"\xff.ipynb".decode("utf-8", "surrogateescape")):
        notebook(tmp_path / name, "def largest_record(write, read, size):\n    raise ValueError('red\x1b[31m')\n", ASK)
    rows = grade.grade(tmp_path)
    assert [row.student for row in rows] == [r"a\x1b[31m\x0a", r"\xdcff"] and r"ValueError: red\x1b[31m" in rows[0].said
    grade.to_csv(rows).encode()
    assert all(line.isprintable() for line in grade.to_table(rows).splitlines())


def test_an_exercise_that_is_not_of_this_course(tmp_path):
    notebook(tmp_path / "a.ipynb", 'ex = exercise("nope")\n', "# exercise('commented-out')\n")
    assert only(tmp_path).said.startswith("slug is 'nope'; allowed: add-an-ata-command, ")


def test_checkpoints_and_what_reset_has_kept_are_left_out(tmp_path):
    for name in (".ipynb_checkpoints/a.ipynb", "a.old-1.ipynb"):
        notebook(tmp_path / name, ASK)
    with pytest.raises(ValueError, match="there is no notebook"):
        grade.grade(tmp_path)


def test_the_stored_lessons_ask_all_exercises_and_none_is_attempted(tmp_path):
    asked = {slug for name in COURSE.names for cell in grade.code_cells(data.NOTEBOOKS / COURSE.notebook(name))
             for slug in re.findall(r'exercise\("([\w-]+)"\)', cell)}
    assert asked == {path.parent.name for path in data.LESSONS.glob("*/exercises/*/check.py")}
    (tmp_path / "04.ipynb").write_bytes((data.NOTEBOOKS / COURSE.notebook("fill_a_ring")).read_bytes())
    assert {row.outcome for row in grade.grade(tmp_path)} == {"not attempted"}


def test_the_command_writes_csv_that_no_spreadsheet_runs(tmp_path):
    notebook(tmp_path / "class" / "=HYPERLINK.ipynb", "def largest_record(write, read, size):\n    ...\n", ASK)
    done = vmio("grade", tmp_path / "class", "--csv", tmp_path / "marks.csv", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["rows"] == [
        {"student": "=HYPERLINK", "file": "=HYPERLINK.ipynb", "exercise": "compute-free-space", "outcome": "not attempted",
         "said": "not attempted yet", "seed": "", "flag": ""}]
    assert list(csv.reader((tmp_path / "marks.csv").open())) == [
        ["student", "file", "exercise", "outcome", "said", "seed", "flag"],
        ["./=HYPERLINK", "./=HYPERLINK.ipynb", "compute-free-space", "not attempted", "not attempted yet", "", ""]]


def test_the_command_refuses_in_a_sentence(tmp_path):
    refused(vmio("grade", tmp_path / "nowhere"), "it must be a folder with the students' notebooks")
    refused(vmio("grade", tmp_path), "there is no notebook (*.ipynb) in it")
    notebook(tmp_path / "a.ipynb", ASK)
    refused(vmio("grade", tmp_path, "--csv", tmp_path), "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["a.ipynb"]
