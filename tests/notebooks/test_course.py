"""One course: the index numbers the lessons, all else follows from it, and every exercise stands in its lesson."""

import importlib
import re
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("nbformat")
pytest.importorskip("ipywidgets")

from vmio import data
from vmio.lessons import build, glossary, percent
from vmio.lessons.course import BEGIN, COURSE, END, Course, Lesson

ROOT = build.NOTEBOOKS.parent
NAMES = COURSE.names
SOURCE = {path.parent.name: path.read_text(encoding="utf-8") for path in sorted(data.LESSONS.glob("*/lesson.py"))}
LINK = re.compile(r"\[([^\]]+)\]\(([^):]+)\)")


def words(name, course=COURSE):
    """The text of a lesson's notebook."""
    return "\n\n".join(cell.source for cell in build.lesson(name, course).cells if cell.cell_type == "markdown")


def test_the_index_and_the_folders_name_the_same_lessons():
    assert sorted(NAMES) == list(SOURCE)
    assert all((data.LESSONS / name / "panel.py").exists() for name in NAMES)
    numbers = [COURSE.notebook(name)[:3] for name in NAMES]
    assert numbers[:12] == [f"{number:02}_" for number in range(12)]
    labs = [f"L{one.lab}_" for one in COURSE.lessons if one.lab]
    assert labs == sorted(set(labs)) and numbers[len(COURSE.row):] == [*labs, "A1_"]


def test_a_lesson_keeps_the_number_that_it_is_given():
    def course(number):
        return Course([Lesson("first", "First", 1, "", ""), Lesson("later", "Later", 1, "", "", needs=("first",), number=number),
                       Lesson("last", "Last", 1, "", "", needs=("first",)), Lesson("more", "More", 1, "", "", needs=("first",), appendix=True)])
    assert [course(14).number(name) for name in ("first", "later", "last", "more")] == ["00", "14", "15", "A1"]
    assert course(-1).number("later") == "01"
    with pytest.raises(ValueError, match="^lesson 'later' is to be 00; after the lessons before it come 01 and more.$"):
        course(0)


def test_each_leads_back_and_on():
    assert all(text.splitlines()[-1] == "# {neighbours}" and text.count("# # {title}\n") == 1 for text in SOURCE.values())
    assert words("start_here").endswith("\n\n[Next: 01 · Trap an instruction](01_trap_an_instruction.ipynb)")
    assert words("split_a_driver").endswith(
        "\n\n[Back: 02 · Emulate a device](02_emulate_a_device.ipynb) · [Next: 04 · Fill a ring](04_fill_a_ring.ipynb)")
    assert words(COURSE.row[-1]).endswith(f"{COURSE.link(COURSE.row[-2], 'Back: ')} · [To the beginning: 00 · Start here](00_start_here.ipynb)")


def test_what_stands_aside_is_reached_from_the_lesson_that_it_belongs_to_and_leads_back():
    for one in COURSE.lessons[len(COURSE.row):]:
        home = one.needs[-1]
        assert one.aside and f"({COURSE.notebook(one.name)})" in words(home)
        assert words(one.name).endswith(f"{COURSE.link(home, 'Back: ')} · [To the beginning: 00 · Start here](00_start_here.ipynb)")


def test_each_says_what_it_is_called_and_how_long_it_takes():
    for name in NAMES:
        assert words(name).startswith(f"# {COURSE.title(name)}\n"), name
        assert re.findall(r"\b(\d+) minutes", words(name).partition("**What you'll need.**")[2])[0] == str(COURSE[name].minutes), name


def test_the_first_lesson_is_a_map_of_all_others():
    rows = re.findall(r"^\| (\[.*\)) \| (.*\?) \|$", words(NAMES[0]), re.M)
    assert rows == [(COURSE.link(name), COURSE[name].question) for name in NAMES[1:]]
    assert rows[3] == ("[04 · Fill a ring](04_fill_a_ring.ipynb)", "what if one is faster than the other?")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"notebooks/{COURSE.notebook(name)}" for name in NAMES)])
def test_links_to_files_lead_somewhere(page):
    text = words(page[13:-6]) if page.endswith("ipynb") else (ROOT / page).read_text(encoding="utf-8")
    for _, target in LINK.findall(text):
        path = (ROOT / page).parent / target.split("#")[0]
        assert path.exists(), f"{page}: {target}"


def test_readme_is_in_step_with_the_index():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert build.readme(readme) == readme, "run python -m vmio.lessons.build"
    assert f"| 04 | [Fill a ring](notebooks/04_fill_a_ring.ipynb) | {COURSE['fill_a_ring'].do} | 60 |\n" in readme
    with pytest.raises(ValueError, match="README.md has no place for the lessons' table"):
        build.readme(readme.replace(END, ""))


def test_readme_tells_teachers_about_each_lesson_in_order():
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("| | ask before you run it |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| (\w[^|]*) \|", table, re.M) == [lesson.title for lesson in COURSE.lessons]


def test_what_a_lesson_says_it_needs_is_what_the_index_says():
    for name in NAMES:
        said = re.search(r"^# \*\*What you'll need\.\*\*(.*?)^(?:#\n|# %%)", SOURCE[name], re.M | re.S)[1]
        named = set(re.findall(r"\{lesson:(\w+)\}", said))
        assert set(COURSE[name].needs) - {NAMES[0]} <= named <= COURSE.before(name), name


def test_every_exercise_stands_once_in_the_lesson_it_lies_in_and_is_checked_there():
    slugs = [folder.name for folder in data.LESSONS.glob("*/exercises/[!._]*")]
    assert len(slugs) >= 28 and len(slugs) == len(set(slugs))
    for folder in data.LESSONS.glob("*/exercises/[!._]*"):
        text = SOURCE[folder.parent.parent.name]
        for line in (f"# %% [exercise] {folder.name}\n", f"# %% [stub] {folder.name}\n", f'exercise("{folder.name}")'):
            assert text.count(line) == 1, line


FORM = ("Predict", "Run", "Compare", "Explore", "Explain")


def test_lessons_have_one_form():
    for name, text in SOURCE.items():
        assert all(f"**What you'll {word}" in text for word in ("do", "learn", "need")), name
        heads = re.findall(r"^# ## (.*)$", text, re.M)
        places = [next((at for at, head in enumerate(heads) if head.startswith(word)), None) for word in FORM]
        assert None not in places, f"{name}: {[word for word, at in zip(FORM, places) if at is None]} of {heads}"
        assert places == sorted(places), f"{name}: {heads}"


NUMBERED = re.compile(r"\blessons? A?\d|\b[A\d]\d_(?:" + "|".join(NAMES) + r")\b|\blesson\d", re.I)
MADE = ("notebooks/", "CHANGELOG.md", "tests/notebooks/test_course.py", "tests/notebooks/test_new_lesson.py")     # built; history; these


def test_nothing_but_the_index_numbers_a_lesson():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    found = []
    for name in listed:
        if name.endswith((".py", ".md", ".yml", ".js", ".css", ".toml", ".txt")) and not name.startswith(MADE) and (ROOT / name).exists():
            text = (ROOT / name).read_text(encoding="utf-8")
            text = re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", "", text, flags=re.S)
            found += [f"{name}: {match[0]}" for match in NUMBERED.finditer(text)]
    first = COURSE.notebook(NAMES[0])[:-6]      # what runs before any package is there, and an address for a browser
    assert found == [f"{name}: {first}" for name in ("deploy/jupyterhub_config.py", "deploy/tljh.py", "docs/doors.md", "lab.py")]


def test_a_source_cannot_be_imported():
    for name in NAMES:
        with pytest.raises(ImportError, match="a lesson is no module: python -m vmio.lessons.build makes its notebook"):
            importlib.import_module(f"vmio.lessons.{name}.lesson")


def test_a_source_that_could_be_imported_is_not_built(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "LESSONS", tmp_path)
    (tmp_path / "start_here").mkdir()
    (tmp_path / "start_here" / "lesson.py").write_text("# %%\n1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape("start_here/lesson.py starts with '# %%'; its first line must be: raise ImportError(")):
        build.lesson("start_here")


def test_a_lesson_in_the_middle_renumbers_all_that_follows():
    at = NAMES.index("split_a_driver") + 1
    new = Lesson("wait_well", "Wait well", 20, do="wait", question="who waits?", needs=("split_a_driver",))
    longer = Course([*COURSE.lessons[:at], new, *COURSE.lessons[at:]])
    assert longer.notebook("wait_well") == "04_wait_well.ipynb" and longer.notebook("share_a_device") == "09_share_a_device.ipynb"
    assert words("split_a_driver", longer).endswith("(02_emulate_a_device.ipynb) · [Next: 04 · Wait well](04_wait_well.ipynb)")
    assert words("fill_a_ring", longer).startswith("# 05 · Fill a ring\n")
    assert words("fill_a_ring", longer).endswith(
        "[Back: 04 · Wait well](04_wait_well.ipynb) · [Next: 06 · Pass a device through](06_pass_a_device_through.ipynb)")
    assert "| [04 · Wait well](04_wait_well.ipynb) | who waits? |\n| [05 · Fill" in words("start_here", longer)
    for name in NAMES:                              # no link to a lesson's old number is left anywhere
        links = [target for _, target in LINK.findall(words(name, longer)) if target.endswith(".ipynb")]
        assert set(links) <= {longer.notebook(other) for other in longer.names} | {glossary.FILE}, name
    assert "| 04 | [Wait well](notebooks/04_wait_well.ipynb) | wait | 20 |\n| 05 | [Fill" in longer.readme()
    assert build.readme((ROOT / "README.md").read_text(encoding="utf-8"), longer).count("[Fill a ring](notebooks/05_fill") == 1


def test_a_renumbered_notebook_is_renamed_and_others_are_left(tmp_path):
    for name in ("07_fill_a_ring.ipynb", "00_start_here.ipynb", "04_mine.ipynb", "fill_a_ring.ipynb", "A3_check_the_model.ipynb"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    build.renumber(tmp_path)
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {
        "04_fill_a_ring.ipynb": "07_fill_a_ring.ipynb", "00_start_here.ipynb": "00_start_here.ipynb",
        "04_mine.ipynb": "04_mine.ipynb", "fill_a_ring.ipynb": "fill_a_ring.ipynb", "A1_check_the_model.ipynb": "A3_check_the_model.ipynb"}


def plain(name, *needs):
    return Lesson(name, name.upper(), 1, do="", question="", needs=needs)


def appendix(name, *needs):
    return Lesson(name, name.upper(), 1, do="", question="", needs=needs, appendix=True)


def lab(name, number, *needs):
    return Lesson(name, name.upper(), 1, do="", question="", needs=needs, lab=number)


def test_labs_keep_their_numbers_and_nobody_goes_on_to_them():
    course = Course([plain("a"), plain("b", "a"), lab("u", 1, "a"), lab("w", 3, "u", "b"), appendix("x", "a")])
    assert [course.notebook(name) for name in course.names] == ["00_a.ipynb", "01_b.ipynb", "L1_u.ipynb", "L3_w.ipynb", "A1_x.ipynb"]
    assert course.title("w") == "L3 · W" and course.neighbours("b") == "[Back: 00 · A](00_a.ipynb) · [To the beginning: 00 · A](00_a.ipynb)"
    assert course.neighbours("w") == "[Back: 01 · B](01_b.ipynb) · [To the beginning: 00 · A](00_a.ipynb)"
    assert build.chosen(["L3", "01"], course) == ["b", "w"]


def test_appendices_have_numbers_of_their_own_and_nobody_goes_on_to_them():
    course = Course([plain("a"), plain("b", "a"), appendix("x", "a"), appendix("y", "b", "x")])
    assert [course.notebook(name) for name in course.names] == ["00_a.ipynb", "01_b.ipynb", "A1_x.ipynb", "A2_y.ipynb"]
    assert course.title("y") == "A2 · Y" and course.neighbours("b") == "[Back: 00 · A](00_a.ipynb) · [To the beginning: 00 · A](00_a.ipynb)"
    assert course.neighbours("y") == "[Back: A1 · X](A1_x.ipynb) · [To the beginning: 00 · A](00_a.ipynb)"
    assert course.tree() == ["00 ─┬─ 01      Each needs those to its left.", "    └─ A1 ─ A2 (and 01)"]
    assert build.chosen(["A1", "01"], course) == ["b", "x"] and build.chosen([], course) == course.names


def test_the_picture_of_what_needs_what():
    course = Course([plain("a"), plain("b", "a"), plain("c", "b"), plain("d", "c"), plain("e", "c"), plain("f", "e", "d"),
                     plain("g", "b"), plain("h", "g"), plain("i", "g"), plain("j", "i", "a", "h")])
    assert course.tree() == [
        "00 ─ 01 ─┬─ 02 ─┬─ 03      Each needs those to its left.",
        "         │      └─ 04 ─ 05 (and 03)",
        "         └─ 06 ─┬─ 07",
        "                └─ 08 ─ 09 (and 00, 07)"]
    assert course.before("j") == {"a", "b", "g", "h", "i"}


@pytest.mark.parametrize("lessons, sentence", [
    ([plain("a"), plain("a", "a")], "lesson 'a' is in the course twice."),
    ([plain("a"), plain("b", "c"), plain("c", "a")], "lesson 'b' needs 'c'; before it are a."),
    ([plain("a", "b")], "lesson 'a' needs 'b'; before it are none."),
    ([plain("a"), plain("b")], "lesson 'b' needs nothing; all but the first need at least 'a'."),
    ([plain("a"), appendix("x", "a"), plain("b", "a")], "appendix 'x' stands before 'b'; appendices come after all lessons."),
    ([plain("a"), lab("x", 1, "a"), plain("b", "a")], "lab 'x' stands before 'b'; labs come after all lessons."),
    ([plain("a"), lab("x", 2, "a"), lab("y", 2, "a")], "lab 'y' is L2 and stands after 'x'; labs stand by their numbers, before the appendices."),
    ([plain("a"), appendix("x", "a"), lab("y", 1, "a")], "lab 'y' is L1 and stands after 'x'; labs stand by their numbers, before the appendices."),
])
def test_an_index_that_cannot_be_is_refused(lessons, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Course(lessons)


def test_a_link_to_no_lesson_is_refused():
    course = Course([plain("a"), plain("b", "a")])
    assert course.fill("{lesson:b} {title} {minutes} {other} {a}", "a") == "[01 · B](01_b.ipynb) 00 · A 1 {other} {a}"
    for text, name in (("{lesson:c}", "c"), ("{lesson:}", ""), ("{lesson:01}", "01")):
        with pytest.raises(ValueError, match=f"^lesson is {name!r}; allowed: a, b.$"):
            course.fill(text, "a")
