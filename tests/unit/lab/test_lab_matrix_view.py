"""The matrix as a drawing: what it is given, what it says in words, and what a click does."""

import pytest

pytest.importorskip("ipywidgets")

from traitlets import TraitError

from vmio.experiments import mix
from vmio.lab.matrix_view import WAITS, MatrixView
from vmio.lessons.test_the_mix import panel as lesson


def matrix():
    return MatrixView(names=["old", "new"], columns=["here", "there"], words=["good", "bad"])


def test_its_words_and_rows_are_what_is_drawn():
    view = matrix()
    view.cells, view.at = [["good", "bad"], [WAITS, "good"]], [1, 1]
    assert view.text == "old: here good, there bad. new: here ..., there [good]."
    assert [(row.series, row.name, row.value, row.unit) for row in view.rows()] == [
        ("old", "here", "good", "verdict"), ("old", "there", "bad", "verdict"), ("new", "here", WAITS, "verdict"), ("new", "there", "good", "verdict")]


def test_a_word_that_is_none_of_its_own_is_refused():
    with pytest.raises((ValueError, TraitError), match="cell 'ugly'; allowed: good, bad, ..."):
        matrix().cells = [["ugly"]]


def test_a_click_chooses_guest_and_host():
    panel = lesson.panel()
    panel.live.picked = [0, 4]
    assert panel.params == {"guest": "1995", "on_host": "legacy gone", "lie": "none"} and panel.live.at == [0, 4]
    assert panel.text.splitlines()[1] == "refused"
    panel.close()


def test_each_cell_shows_its_own_run_and_waits_until_then(monkeypatch):
    monkeypatch.setattr(mix, "KEPT", {})
    panel = lesson.panel()
    row = lesson.GUESTS.index(panel.params["guest"])
    first = [list(line) for line in panel.live.cells]
    assert sum(word != WAITS for line in first[:-1] for word in line) == 1 and first[row][3] == "passes"
    assert WAITS not in first[-1], "a real Linux as it was recorded: nothing has to be run"
    panel.finish()
    assert panel.live.cells == [[lesson.cell(guest, host).verdict for host in lesson.HOSTS] for guest in lesson.ROWS]
    panel.close()


def test_the_report_has_the_matrix_and_a_question_for_each_answer(tmp_path):
    report = lesson.report()
    said = report.save(str(tmp_path / "mine"))
    assert "0 of 5 questions answered, 3 CSV files" in said
    lines = (tmp_path / "mine" / "01-the-matrix.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 45 and lines[1].startswith("1995,emulator,passes,\"IDE, PIO\",Tulip,,")


def test_a_host_of_ones_own_has_the_versions_that_it_is_given():
    assert lesson.host("2022", bus=["6.0", "5.3", "5.2"]).bus == (0x60000, 0x50003, 0x50002) and lesson.host("2012").bus == (0x20004,)
    assert lesson.turned_away(lesson.host("2022", bus=["6.0"])) == 4, "those that know nothing but the bus, and virtio"
    for text in ("6", "six.0", "6.", "-1.0", "65536.0", "\u0663.0"):
        with pytest.raises(ValueError, match="two whole numbers with a point between them"):
            lesson.host("2022", bus=[text])
    with pytest.raises(ValueError, match="guest '1985': choose one of"):
        lesson.guest("1985")
