"""Grading a class whose students have numbers of their own: each with its seed, what is not its student's flagged, the answers told."""

import csv
import json

import pytest

pytest.importorskip("ipywidgets")

from tests.command_rig import refused, vmio
from vmio import seed
from vmio.lessons import grade, seeds
from vmio.lessons.course import COURSE

ASK = 'ex = exercise("predict-passthrough-exits")\nex.check(exits)\n'
RIGHT = "def exits(reads, guest, delivery):\n    return reads if (guest, delivery) != ('busy', 'posted') and guest != 'polling' else 0\n"
SHOWS = "def exits(reads, guest, delivery):\n    return -reads\n"
ANNA, BOB = seed.of("Anna Maier"), seed.of("Bob")


def notebook(path, *cells, **metadata):
    """Write a notebook with code cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": [
        {"cell_type": "code", "source": cell, "outputs": [], "metadata": {}, "execution_count": None} for cell in cells]}))


def stamp(name):
    return {"vmio_student": name, "vmio_seed": seed.of(name)}


def graded(folder):
    return {row.file: row for row in grade.grade(folder)}


def test_each_notebook_is_checked_with_its_own_seed(tmp_path, monkeypatch):
    monkeypatch.setenv(seed.VARIABLE, "12345")
    for name in ("Anna Maier", "Bob", "Cleo"):
        notebook(tmp_path / name / "05.ipynb", SHOWS, ASK, **stamp(name))
    notebook(tmp_path / "plain.ipynb", SHOWS, ASK)
    rows = graded(tmp_path)
    assert "expected 1, got -1" in rows["plain.ipynb"].said, "no seed: the lessons' own numbers, whatever the environment says"
    assert len({row.said for row in rows.values()}) == 4
    assert [rows[f"{name}/05.ipynb"].seed for name in ("Anna Maier", "Bob")] == [str(ANNA), str(BOB)]
    notebook(tmp_path / "Bob" / "05.ipynb", RIGHT, ASK, **stamp("Bob"))
    assert graded(tmp_path)["Bob/05.ipynb"].outcome == "pass"


@pytest.mark.parametrize("metadata, flag", [
    (stamp("Bob"), ""), (stamp("BOB "), ""), ({"vmio_seed": 5}, ""),
    (stamp("Anna Maier"), "it was made for Anna Maier, and Bob has handed it in"),
    ({"vmio_student": "Bob", "vmio_seed": 5}, f"its seed is 5, and Bob's is {BOB}"),
    ({}, "it has no seed, and others of this class have"), ({"vmio_seed": 0}, "it has no seed, and others of this class have"),
    ({"vmio_seed": "abc"}, "its seed is 'abc'; a seed is a whole number from 0"), ({"vmio_seed": True}, "its seed is 'True'; a seed is"),
    ({"vmio_seed": [1]}, "its seed is '[1]'; a seed is"), ({"vmio_seed": -1}, "its seed is '-1'; a seed is"),
    ({"vmio_seed": 10**40}, "its seed is '1000000000"), ({"vmio_seed": 5, "vmio_student": 7}, ""),
    ({"vmio_seed": 5, "vmio_student": "\x00"}, "the student's name is '\\x00'; it needs"),
    ({"vmio_seed": 5, "vmio_student": "B\n"}, f"its seed is 5, and B's is {seed.of('B')}"),
])
def test_what_is_not_its_students_is_flagged_and_graded_all_the_same(tmp_path, metadata, flag):
    notebook(tmp_path / "Cleo" / "05.ipynb", RIGHT, ASK, **stamp("Cleo"))
    notebook(tmp_path / "Bob" / "05.ipynb", RIGHT, ASK, **metadata)
    rows = graded(tmp_path)
    assert rows["Cleo/05.ipynb"].flag == "" and {row.outcome for row in rows.values()} == {"pass"}
    found = rows["Bob/05.ipynb"].flag
    assert found.startswith(flag) and bool(found) == bool(flag) and "\n" not in found
    assert (f"Bob/05.ipynb: {found}" in grade.to_table(grade.grade(tmp_path))) == bool(flag)


def test_who_was_copied_from_has_no_flag(tmp_path):
    for folder in ("Anna Maier", "Bob"):
        notebook(tmp_path / folder / "05.ipynb", RIGHT, ASK, **stamp("Anna Maier"))
    assert [row.flag for row in graded(tmp_path).values()] == ["", "it was made for Anna Maier, and Bob has handed it in"]


def test_a_seed_without_a_name_in_two_folders_is_flagged_in_both(tmp_path):
    for name in ("ada", "bob", "cleo"):
        notebook(tmp_path / name / "a.ipynb", RIGHT, ASK, vmio_seed=9 if name == "cleo" else 5)
    notebook(tmp_path / "ada" / "b.ipynb", RIGHT, ASK, vmio_seed=5)
    assert [row.flag for row in graded(tmp_path).values()] == ["its seed, 5, is also that of bob"] * 2 + ["its seed, 5, is also that of ada", ""]


@pytest.mark.parametrize("folder, its_own", [
    ("Anna Maier", True), ("Anna Maier_12345_assignsubmission_file", True), ("anna_maier", True), ("Maier, Anna", False), ("Annabel Maier", False),
    ("Hanna Maier", False), ("Anna", False)])
def test_folders_as_learning_platforms_name_them(tmp_path, folder, its_own):
    notebook(tmp_path / folder / "05.ipynb", RIGHT, ASK, **stamp("Anna Maier"))
    notebook(tmp_path / COURSE.notebook("pass_a_device_through"), RIGHT, ASK, **stamp("Bob"))
    rows = graded(tmp_path)
    assert (rows[f"{folder}/05.ipynb"].flag == "") is its_own and rows[COURSE.notebook("pass_a_device_through")].flag == ""


def test_a_class_without_seeds_has_no_flags(tmp_path):
    for name in ("ada", "bob"):
        notebook(tmp_path / name / "05.ipynb", RIGHT, ASK)
    (tmp_path / "c.ipynb").write_text("no JSON")
    assert {row.flag for row in grade.grade(tmp_path)} == {""}


def test_what_is_no_notebook_has_no_seed_to_flag(tmp_path):
    notebook(tmp_path / "Bob" / "05.ipynb", RIGHT, ASK, **stamp("Bob"))
    (tmp_path / "c.ipynb").write_text("no JSON")
    assert graded(tmp_path)["c.ipynb"].flag == ""


def test_the_teacher_gets_every_students_answers(tmp_path):
    for name in ("Anna Maier", "Bob"):
        for file in ("03.ipynb", "05.ipynb"):
            notebook(tmp_path / "class" / name / file, RIGHT, ASK, **stamp(name))
    notebook(tmp_path / "class" / "plain.ipynb", RIGHT, ASK)
    done = vmio("grade", tmp_path / "class", "--answers", "--csv", tmp_path / "answers.csv")
    assert done.returncode == 0 and "one-split-read" in done.stdout, done.stderr
    rows = list(csv.DictReader((tmp_path / "answers.csv").open()))
    assert len(rows) == 2 * len(seeds.all_own()) and {row["student"] for row in rows} == {"Anna Maier", "Bob"}
    for name in ("Anna Maier", "Bob"):
        row, = [row for row in rows if (row["student"], row["prediction"]) == (name, "one-split-read")]
        with seed.held(seed.of(name)):
            own = seeds.asked("one-split-read")
        assert (row["question"], int(row["answer"]), int(row["seed"])) == (own.question, 2 * own.numbers["reads"], seed.of(name))
    told = json.loads(vmio("grade", tmp_path / "class", "--answers", "--json").stdout)["rows"]
    assert [str(row["answer"]) for row in told] == [row["answer"] for row in rows]


def test_answers_of_a_class_without_seeds_are_refused_in_a_sentence(tmp_path):
    notebook(tmp_path / "class" / "05.ipynb", RIGHT, ASK)
    refused(vmio("grade", tmp_path / "class", "--answers"), "has a seed (lab.py --student NAME writes it): all have the lessons' own numbers")
