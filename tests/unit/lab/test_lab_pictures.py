"""The README's pictures say what the panels say."""

import re
from pathlib import Path

import pytest

pytest.importorskip("ipywidgets")

from vmio import data
from vmio.lessons import pictures


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_picture_is_current_and_repeatable(name):
    drawn = pictures.draw(name)
    assert drawn == pictures.draw(name)
    stored = (data.checkout(pictures.FOLDER) / f"{name}.svg").read_text(encoding="utf-8")
    assert pictures.words(stored) == pictures.words(drawn), "run python -m vmio.lessons.pictures"


def test_readme_shows_each_picture_with_words_for_it():
    readme = (Path(pictures.__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r'<img [^>]*src="docs/pictures/([^"]+)\.svg"[^>]*alt="([^"]{20,})"', readme)
    assert sorted(name for name, _ in shown) == sorted(path.stem for path in data.checkout(pictures.FOLDER).glob("*.svg"))
