"""Guesses: what people type is read, nonsense gets a sentence, and in a student's folder they outlive the kernel."""

import errno
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ipywidgets")

from vmio.lab import guess
from vmio.lab import panel as panel_module
from vmio.lab.guesses import NAME, WORK, Guesses, parse


class Mute:
    """An object that is never asked for its text."""

    def __str__(self):
        raise SystemExit


@pytest.mark.parametrize("text, value", [
    ("400", 400), ("1,000", 1000), ("1.5", 1.5), ("1,5", 1.5), ("2k", 2000), ("2 K", 2000), ("2.5k", 2500), ("1,5m", 1_500_000),
    ("1 000", 1000), ("1\u00a0000", 1000), ("1'000", 1000), ("1.000.000", 1_000_000), ("1.000,5", 1000.5), ("1,000.5", 1000.5),
    ("1e6", 1_000_000), ("0x200", 512), ("007", 7), (".5", 0.5), (",5", 0.5), ("about 50", 50), ("~50", 50), ("50 exits", 50),
    ("50 exits a read.", 50), ("50 %", 50), ("0", 0), (7, 7), (2.0, 2), (" 3 ", 3), (np.int64(5), 5), (np.float32(2.5), 2.5),
    (Fraction(1, 2), 0.5), (Fraction(4, 2), 2)])
def test_reads_what_people_type(text, value):
    assert parse(text) == value and type(parse(text)) is type(value)


@pytest.mark.parametrize("text", ["nonsense", "", "twelve", "5 or 6", "3-4", "12,34,56", "1,2,3", "--5", "1/2", "nan", "inf", "True",
                                  "0x", "k", "e5", "1e", "½", None, True, [1], "٤٠٠", "５", "\ud800", b"5", 5j, {5}, np.array([5]), pytest.param(Mute(), id="mute"), pytest.param([[]] * 10**6, id="long"),
                                  np.True_, "5\n6", pytest.param("x" * 10**6, id="long text"), (n for n in "5")])
def test_what_is_no_number_gets_a_sentence(text):
    with pytest.raises(ValueError, match="is no number; write one such as 400, 1,000 or 2.5.") as refused:
        parse(text)
    assert " at 0x" not in str(refused.value) and len(str(refused.value)) < 150 and str(refused.value).isprintable()


@pytest.mark.parametrize("text", ["9" * 400, "1e400", "1e16", 10**400, float("inf"), float("nan"), pytest.param(10**5000, id="huge"), np.float64("nan"),
                                  Fraction(10**400)])
def test_numbers_that_nobody_counts_to_are_refused(text):
    with pytest.raises(ValueError, match="A guess is at most 1,000,000,000,000,000;"):
        parse(text)


@pytest.mark.parametrize("text", ["-5", "\u22121", -1, "-0.5"])
def test_below_zero(text):
    with pytest.raises(ValueError, match="never below 0"):
        parse(text)


def test_a_guess_survives_the_kernel(tmp_path, monkeypatch):
    monkeypatch.setenv(WORK, str(tmp_path))
    Guesses()["one"] = 3
    told = subprocess.run([sys.executable, "-c", "from vmio.lab import compare; print(compare('one', 4, 'exits'))"],
                          capture_output=True, text=True, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert told.stdout == "one: guessed 3, counted 4 exits: 25 % too low.\n"
    again = Guesses()
    again["two"] = 2.5
    del again["one"]
    assert json.loads((tmp_path / NAME).read_text()) == {"two": 2.5} and dict(Guesses()) == {"two": 2.5}


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "7", '{"a": "x"}', "\udcff"])
def test_a_spoilt_file_is_no_guess_and_no_error(text, tmp_path, monkeypatch):
    monkeypatch.setenv(WORK, str(tmp_path))
    (tmp_path / NAME).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert dict(Guesses()) == {}


def test_without_a_students_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv(WORK, str(tmp_path / "gone"))
    guesses = Guesses()
    guesses["one"] = 3
    assert guesses["one"] == 3 and list(tmp_path.iterdir()) == [] and dict(Guesses()) == {}


@pytest.mark.parametrize("slug", [5, None, ["a"]])
def test_a_guess_needs_the_name_of_a_question(slug):
    with pytest.raises(ValueError, match="it must be the name of a question, such as 'first-guess'."):
        guess(slug, 5)


def test_a_guess_that_no_file_keeps_says_why(tmp_path, monkeypatch):
    """A full disk: the guess holds, the box says until when."""
    from vmio.lab.predict import predict
    from vmio.machine import files
    monkeypatch.setenv(WORK, str(tmp_path))

    def full(name, text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    asked = predict("no-room", "How many?")
    with monkeypatch.context() as patched:
        patched.setattr(files, "write_text", full)
        asked._box.value = "5"
    assert asked.guess == 5 and "stored: 5; only until the kernel ends (No space left on device)" in asked._note.value
    assert not (tmp_path / NAME).exists()
    asked._box.value = "6"
    assert "stored: 6<" in asked._note.value and json.loads((tmp_path / NAME).read_text())["no-room"] == 6


def test_a_question_in_two_windows_is_one_question():
    """Run All in a second window makes the box anew; the first window's stays, a third one closes the oldest."""
    from vmio.lab.predict import predict
    first, second = (predict("two-windows", "How many?") for _ in range(2))
    guess("two-windows", 7)
    assert first._box.value == second._box.value == "7" and first.comm is not None
    predict("two-windows", "How many?")
    assert first.comm is None and second.comm is not None
    guess("two-windows", None)


def test_what_is_wrong_with_a_guess_stands_beside_it_and_not_where_a_panel_has_its_errors():
    """Once a panel is in the page its style sheet holds for all of the page."""
    sheet = (Path(panel_module.__file__).parent / "static" / "panel.css").read_text(encoding="utf-8")
    rules = [line.strip() for line in sheet.splitlines() if ".vmio-error" in line]
    assert rules and all(rule.startswith(".vmio-body .vmio-error {") for rule in rules)
