"""Progress: a line a check where the teacher wants it, in the student's own folder; whatever stands in the file, the table comes."""

import errno
import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("ipywidgets")

from tests.command_rig import refused, vmio
from vmio import __version__
from vmio.lab import exercise, progress
from vmio.lab.guesses import WORK
from vmio.lessons import progress as of_a_class

SLUG = "compute-free-space"


@pytest.fixture
def on(tmp_path, monkeypatch):
    monkeypatch.setenv(WORK, str(tmp_path))
    monkeypatch.setenv(progress.VARIABLE, "1")
    return tmp_path / progress.NAME


def written(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_has_outcome_and_hash_and_neither_code_nor_time(on):
    one = exercise(SLUG)
    for name in ("solution", "wrong", "stub"):      # the stub is no attempt
        one.check(one.load(name))
    right, wrong = written(on)
    assert right == {"exercise": SLUG, "outcome": "pass", "answer": right["answer"], "version": __version__}
    assert wrong["outcome"] == "wrong" and len(right["answer"]) == 16 and right["answer"] != wrong["answer"]
    one.check(one.load("solution"))
    assert written(on)[2] == right and (os.name == "nt" or on.stat().st_mode & 0o777 == 0o600)


@pytest.mark.parametrize("variables", [{progress.VARIABLE: "0"}, {progress.VARIABLE: ""}, {WORK: ""}])
def test_nothing_is_noted_unless_the_teacher_turns_it_on(on, monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    one = exercise(SLUG)
    assert one.check(one.load("solution")) and not on.exists()


def test_what_cant_be_noted_is_said_and_the_check_stands(on, monkeypatch, capsys):
    def full(*more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    one = exercise(SLUG)
    with monkeypatch.context() as patched:
        patched.setattr(progress.os, "write", full)
        unsaid = progress.note(SLUG, "pass", one.load("solution"))
    assert unsaid == "No space left on device"
    on.unlink()
    on.mkdir()
    assert one.check(one.load("solution"))
    assert f"{SLUG}: how this check ended was not noted: Is a directory" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="no links to refuse")
def test_a_link_in_its_place_leads_nowhere(on, tmp_path):
    (tmp_path / "other").write_text("kept")
    on.symlink_to("other")
    assert progress.note(SLUG, "pass", test_a_link_in_its_place_leads_nowhere) and (tmp_path / "other").read_text() == "kept"


def line(slug=SLUG, outcome="pass", answer="a" * 16, **more):
    return json.dumps({"exercise": slug, "outcome": outcome, "answer": answer, "version": "1.0", **more})


def a_class(folder, **students):
    for name, lines in students.items():
        (folder / name / "vmio-work").mkdir(parents=True)
        (folder / name / "vmio-work" / progress.NAME).write_text("".join(f"{line}\n" for line in lines))
    return folder


def test_the_same_answer_again_is_no_other_try(tmp_path):
    a_class(tmp_path, ada=[line(outcome="wrong", answer="b"), line(outcome="wrong", answer="b"), line(answer="c"), line(outcome="error in your code", answer="d")],
            ben=[line(outcome="error in your code", answer="x"), line(outcome="wrong", answer="y")], cem=[])
    found = of_a_class.of_class(tmp_path)
    assert found.rows == [of_a_class.Row("ada", SLUG, "pass", 2, "1.0"), of_a_class.Row("ben", SLUG, "wrong", 2, "1.0")]
    assert found.unread == {"ada": 0, "ben": 0, "cem": 0}


@pytest.mark.parametrize("bad", ["", "nonsense", "[]", "null", "{}", line("no-such-exercise"), line(outcome="solved"), line(more=1), line(answer=5),
                                 line(answer="x" * 99), "[" * 50_000, "\x1b[31m", '"\ud800"'.encode("utf-8", "surrogatepass").decode("latin-1")])
def test_a_line_that_is_none_of_ours_is_counted_and_changes_nothing(bad, tmp_path):
    a_class(tmp_path, ada=[line(), bad])
    found = of_a_class.of_class(tmp_path)
    assert [row.outcome for row in found.rows] == ["pass"] and found.unread == {"ada": 1}
    assert of_a_class.to_table(found).replace("\n", "").isprintable()


def test_what_is_no_file_is_not_waited_for(tmp_path):
    a_class(tmp_path, ada=[line()], ben=[line()])
    (tmp_path / "ben" / "vmio-work" / progress.NAME).unlink()
    (tmp_path / "ben" / "vmio-work" / progress.NAME).symlink_to("/dev/zero")
    found = of_a_class.of_class(tmp_path)
    assert found.unread == {"ada": 0, "ben": 1} and len(found.rows) == 1


def test_the_command_says_where_most_are_stuck_and_what_it_is_worth(tmp_path):
    a_class(tmp_path, ada=[line(), line("count-the-exits", "wrong")], ben=[line()])
    said = vmio("progress", str(tmp_path), "--csv", str(tmp_path / "rows.csv")).stdout
    assert said.index("count-the-exits") < said.index(SLUG) and said.rstrip().endswith("and is no mark.")
    assert (tmp_path / "rows.csv").read_text().splitlines()[:2] == ["student,exercise,outcome,tries,version", f"ada,{SLUG},pass,1,1.0"]
    assert json.loads(vmio("progress", str(tmp_path), "--json").stdout)["unread"] == {"ada": 0, "ben": 0}


def test_the_command_refuses_what_is_no_class(tmp_path):
    refused(vmio("progress", str(tmp_path / "gone")), "it must be a folder with the students' folders")
    refused(vmio("progress", str(tmp_path)), f"no {progress.NAME} is in it")


def test_two_kernels_never_mix_their_lines(on):
    code = f"from vmio.lab import progress\nfor at in range(200): progress.note('{SLUG}', 'wrong' * 100, progress.note)"
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [one.wait() for one in both] == [0, 0]
    assert len(written(on)) == 400
