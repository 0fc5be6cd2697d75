"""One course: each lesson links to the one before and after, the first shows them all, README lists them, and every
exercise stands in a lesson."""

import re

import pytest

pytest.importorskip("nbformat")
pytest.importorskip("ipywidgets")

from vmio.lessons import build  # noqa: E402

ROOT = build.NOTEBOOKS.parent
SOURCES = build.sources()
TEXT = {path.stem: path.read_text(encoding="utf-8") for path in SOURCES}
TITLE = {stem: re.search(r"^# # (.*)$", text, re.M)[1] for stem, text in TEXT.items()}
LINK = re.compile(r"\[([^\]]+)\]\(([^):]+)\)")


def link(words, stem):
    return f"[{words}{TITLE[stem]}]({stem}.ipynb)"


def test_lessons_are_numbered_without_a_gap():
    assert [stem[:2] for stem in TEXT] == [f"{number:02}" for number in range(len(TEXT))]
    assert all(TITLE[stem].startswith(f"{stem[:2]} · ") for stem in TEXT)


def test_the_last_line_of_each_leads_back_and_on():
    stems = list(TEXT)
    for at, stem in enumerate(stems):
        back = [link("Back: ", stems[at - 1])] if at else []
        on = link("Next: ", stems[at + 1]) if at + 1 < len(stems) else link("To the beginning: ", stems[0])
        assert TEXT[stem].splitlines()[-1] == "# " + " · ".join([*back, on]), stem


def test_the_first_lesson_is_a_map_of_all_others():
    first, *others = TEXT
    for stem in others:
        assert f"| {link('', stem)} |" in TEXT[first]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"notebooks/{stem}.ipynb" for stem in TEXT)])
def test_links_to_files_lead_somewhere(page):
    text = TEXT[page[10:-6]] if page.endswith("ipynb") else (ROOT / page).read_text(encoding="utf-8")
    for _, target in LINK.findall(text):
        path = (ROOT / page).parent / target.split("#")[0]
        assert path.exists(), f"{page}: {target}"


def test_readme_lists_every_lesson():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for stem in TEXT:
        assert f"(notebooks/{stem}.ipynb)" in readme, stem


def test_every_exercise_stands_in_exactly_one_lesson_and_is_checked_there():
    for folder in (build.NOTEBOOKS / "exercises").iterdir():
        if folder.is_dir() and folder.name[0] not in "._":
            homes = [stem for stem, text in TEXT.items() if f"# %% [exercise] {folder.name}\n" in text]
            assert len(homes) == 1, f"{folder.name}: {homes}"
            assert f'exercise("{folder.name}")' in TEXT[homes[0]] and f"# %% [stub] {folder.name}\n" in TEXT[homes[0]]


FORM = ("Predict", "Run", "Compare", "Explore", "Explain")


def test_lessons_have_one_form():
    for stem, text in TEXT.items():
        assert all(f"**What you'll {word}" in text for word in ("do", "learn", "need")), stem
        heads = re.findall(r"^# ## (.*)$", text, re.M)
        places = [next((at for at, head in enumerate(heads) if head.startswith(word)), None) for word in FORM]
        assert None not in places, f"{stem}: {[word for word, at in zip(FORM, places) if at is None]} of {heads}"
        assert places == sorted(places), f"{stem}: {heads}"
