"""A panel whose kernel is gone, a cell before those above it, a second window: each says in one sentence what to run."""

from contextlib import contextmanager

import pytest

import lab_server  # beside this file
from vmio.lab.order import SENTENCE

pytestmark = pytest.mark.browser

SOURCE = '''\
# %%
from vmio.lab import Panel, log2_slider, predict
panel = Panel(lambda size: size, [log2_slider("size", 16, 64, 16)], lambda size: (f"size {size}", []), name="toy")
# %%
panel
# %%
predict("some-size", "How large?")
'''


@pytest.fixture(scope="module")
def lab(server):
    """The server, with a notebook for each test."""
    for name in ("95_new_kernel", "96_two_windows", "97_closed", "98_window", "99_restart"):
        lab_server.store(SOURCE, server.work / f"{name}.ipynb")
    return server


def run_cell(page, at):
    """Run one cell by its number."""
    page.locator(".jp-Notebook .jp-CodeCell").nth(at).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")


def test_after_a_restart_panel_and_cell_say_what_to_run(lab, chromium):
    with chromium(1280, 720) as page:
        lab_server.run_all(page, lab, "99_restart.ipynb")
        assert page.locator(".vmio-note-to-run").count() == 0
        page.click("#jp-MainMenu >> text=Kernel")
        page.click('li[data-command="kernelmenu:restart"]')
        page.click(".jp-Dialog-button.jp-mod-accept")
        said = page.locator(".vmio-panel .vmio-note-to-run[role=alert]")
        said.wait_for()
        assert said.text_content().endswith("choose Run > Run All Above Selected Cell, then run this cell.")
        lab_server.idle(page)
        run_cell(page, 1)
        page.wait_for_function("words => document.body.innerText.replace(/\\s+/g, ' ').includes(words)", arg=SENTENCE)
        assert "name 'panel' is not defined" in page.inner_text(".jp-Notebook")


def test_a_panel_that_was_made_anew_says_so_where_the_old_one_was(lab, chromium):
    with chromium(1280, 720) as page:
        lab_server.run_all(page, lab, "97_closed.ipynb")
        page.locator(".vmio-panel").wait_for()
        run_cell(page, 0)
        said = page.locator(".jp-OutputArea .vmio-note-to-run[role=alert]")
        said.wait_for()
        assert said.text_content() == ("A cell above, or this notebook in another window, has made this panel anew: "
                                       "run this cell again to see it here.")
        run_cell(page, 1)
        page.locator(".vmio-panel").wait_for()
        assert page.locator(".vmio-note-to-run").count() == 0


@contextmanager
def another(page, lab, name):
    """A second browser's page on the same notebook; its kernel is the same if it runs."""
    page.keyboard.press("Control+s")
    page.wait_for_function("!document.querySelector('.jp-mod-dirty')")
    with lab_server.pages(page.context.browser) as elsewhere, elsewhere(1280, 720) as other:
        lab_server.open_notebook(other, lab, name)
        yield other


def test_a_second_window_shows_the_panel_or_says_what_to_run(lab, chromium):
    with chromium(1280, 720) as page:
        lab_server.run_all(page, lab, "98_window.ipynb")
        with another(page, lab, "98_window.ipynb") as other:
            other.wait_for_function("() => document.querySelectorAll('.vmio-panel .vmio-readout').length === 1 ||"
                                    " document.querySelector('.jp-Notebook').innerText.includes('run the cells from the top down to this one')")


def test_run_all_in_a_second_window_leaves_the_first_its_questions_and_a_sentence(lab, chromium):
    with chromium(1280, 720) as page:
        lab_server.run_all(page, lab, "96_two_windows.ipynb")
        page.locator(".vmio-prediction").wait_for()
        with another(page, lab, "96_two_windows.ipynb") as other:
            lab_server.run_all(other, lab, "96_two_windows.ipynb")
            said = page.locator(".jp-OutputArea .vmio-note-to-run[role=alert]")
            said.wait_for()
            assert "in another window" in said.text_content()
            box = page.locator(".vmio-prediction input")
            box.fill("32")
            box.press("Enter")
            page.wait_for_function("document.querySelector('.vmio-stored')?.textContent === 'stored: 32'")
            run_cell(page, 1)
            page.locator(".vmio-panel .vmio-readout").wait_for()
            assert other.locator(".vmio-panel .vmio-readout").count() == 1      # and the second window keeps what it has


def test_a_saved_panel_in_a_new_kernel_says_what_it_showed_and_what_to_run(lab, chromium):
    with chromium(1280, 720) as page:
        lab_server.run_all(page, lab, "95_new_kernel.ipynb")
        page.keyboard.press("Control+s")
        page.wait_for_function("!document.querySelector('.jp-mod-dirty')")
        lab.end_kernels()
        page.goto(lab.page("95_new_kernel.ipynb"))
        said = page.locator(".vmio-stored-panel")
        said.first.wait_for()
        page.wait_for_function("document.querySelectorAll('.vmio-stored-panel').length === 2")
        assert said.nth(0).text_content().startswith("To see the panel, run the cells from the top down to this one.\n\nPanel ")
        assert "size 16" in said.nth(0).text_content()
        assert said.nth(1).text_content() == "What stood here needs a kernel that has run the cells above: choose Run > Run All Cells."
        assert "model not found" not in page.inner_text(".jp-Notebook")
        page.evaluate("""() => {    // an output that was filled before it came into the page, as in Notebook 7
            const output = document.createElement("div"), cell = document.createElement("div");
            [output.className, output.textContent, cell.id] = ["jupyter-widgets", "Error displaying widget: model not found", "late"];
            cell.append(output);
            document.body.append(cell);
        }""")
        page.locator("#late .vmio-stored-panel").wait_for(state="attached")
