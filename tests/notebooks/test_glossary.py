"""The glossary: every word in capitals that a lesson uses is in it, and the first use of each in a lesson leads there."""

import json
import re

import pytest

from vmio import data
from vmio.lessons import build, glossary
from vmio.lessons.course import COURSE


def texts(name):
    """The Markdown of a lesson as it is stored."""
    cells = json.loads((data.NOTEBOOKS / COURSE.notebook(name)).read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


@pytest.mark.parametrize("name", COURSE.names)
def test_a_lesson_uses_no_abbreviation_that_is_not_explained(name):
    assert {word: text[:60] for text in texts(name) for word in glossary.unknown(text)} == {}


@pytest.mark.parametrize("name", COURSE.names)
def test_a_lesson_links_the_first_use_of_each_term_and_no_other(name):
    whole = "\n\n".join(texts(name))
    linked = re.findall(r"\]\(glossary\.ipynb#([^ )]+) ", whole)
    assert linked and len(linked) == len(set(linked))
    assert glossary.link_first(whole, {word.replace("-", " ") if word not in glossary._BY_WORD else word for word in linked}) == whole


@pytest.mark.parametrize("name", COURSE.names)
def test_a_lesson_spells_out_each_term_where_it_first_uses_it(name):
    for text in texts(name):
        prose = re.sub(r"\s+", " ", re.sub(r"\(glossary\.ipynb[^)]*\)", "", text)).lower()
        for word in re.findall(r"\]\(glossary\.ipynb#([^ )]+) ", text):
            term = glossary._BY_WORD.get(word) or glossary._BY_WORD[word.replace("-", " ")]
            assert term.stands_for.lower() in prose, f"{term.word}: {text[:60]}"


def test_every_link_has_its_heading():
    page = json.loads((data.NOTEBOOKS / glossary.FILE).read_text(encoding="utf-8"))
    headings = {"".join(cell["source"]).splitlines()[0].removeprefix("### ").replace(" ", "-") for cell in page["cells"][1:]}
    assert headings == {term.word.replace(" ", "-") for term in glossary.TERMS}
    assert (data.NOTEBOOKS / glossary.FILE).read_text(encoding="utf-8") == build.glossary_page()


@pytest.mark.parametrize("text, linked", [
    ("DMA and DMA", '[DMA](glossary.ipynb#DMA "direct memory access") and DMA'),
    ("two GPADLs", 'two [GPADLs](glossary.ipynb#GPADL "guest physical address descriptor list")'),
    ("`DMA` [DMA](x.ipynb) <b DMA>", "`DMA` [DMA](x.ipynb) <b DMA>"),
    ("# DMA\n    DMA in a drawing\n", "# DMA\n    DMA in a drawing\n"),
    ("UDMA, DMA-like, DMAs4", "UDMA, DMA-like, DMAs4"),
    ("**VM exit**: a VM", '**[VM exit](glossary.ipynb#VM-exit "The moment when the processor stops running the guest and starts '
                          'running the hypervisor")**: a [VM](glossary.ipynb#VM "virtual machine")'),
])
def test_only_prose_is_linked_and_whole_words(text, linked):
    assert glossary.link_first(text, set()) == linked


def test_what_is_neither_term_nor_name_is_found():
    assert glossary.unknown("A XYZ and two ABCs, FEC00000h, `QQQ`, READ, DMAs, NVMe") == ["ABCs", "XYZ"]


def test_terms_are_explained_once_in_plain_sentences_and_by_a_lesson():
    assert len({term.word.lower() for term in glossary.TERMS}) == len(glossary.TERMS)
    for term in glossary.TERMS:
        assert term.lesson in COURSE.names and term.text.endswith(".") and term.text[0].isupper()
        assert not glossary.unknown(term.text), term.word
