"""The matrix of guests and hosts in a real page: its words, the cell that is chosen, and a click and a key that choose another."""

import lab_server  # beside this file
import pytest

pytestmark = pytest.mark.browser

TOY = '''\
# %%
from vmio.lessons.test_the_mix import panel as lesson
panel = lesson.panel()
panel
'''
CELLS = """() => [[...document.querySelectorAll('.vmio-cell')].map((cell) => cell.dataset.word),
                   [...document.querySelectorAll('.vmio-cell[data-chosen=true]')].map((cell) => cell.dataset.cell),
                   document.querySelector('.vmio-readout').textContent.split('\\n')[0]]"""


@pytest.fixture(scope="module")
def page(desk):
    lab_server.store(TOY, desk.server.work / "99_matrix.ipynb")
    page = desk.run("99_matrix.ipynb", 1280, 720)
    page.wait_for_function("() => ![...document.querySelectorAll('.vmio-cell')].some((cell) => cell.dataset.word === '...')")
    return page


def test_each_cell_has_its_word_and_one_is_chosen(page):
    words, chosen, said = page.evaluate(CELLS)
    assert len(words) == 45 and words.count("breaks") == 1 and words.count("refused") == 16 and "..." not in words
    assert chosen == ["2013 gen 2 2022"] and said == "guest 2013 gen 2 on host 2022: passes"


def test_a_click_and_a_key_choose_another(page):
    page.locator(".vmio-cell[data-word=breaks]").click()
    lab_server.settled(page)
    assert page.evaluate(CELLS)[1:] == [["2000 emulator"], "guest 2000 on host emulator: breaks"]
    cell = page.locator(".vmio-cell[data-cell='isolated legacy gone']")
    cell.focus()
    cell.press("Enter")
    lab_server.settled(page)
    assert page.evaluate(CELLS)[1] == ["isolated legacy gone"]
    assert page.evaluate("() => document.activeElement.dataset.cell") == "isolated legacy gone", "the key goes on from there"
