"""After Run All Cells the page rests at the first panel; after single cells, or when a hand has moved the page, nothing jumps."""

import pytest

import lab_server  # beside this file
from vmio.lessons.course import COURSE

pytestmark = pytest.mark.browser

SOURCE = '''\
# %% [markdown]
# # A lesson
# %%
import time
from vmio.lab import Panel, log2_slider
print("a line\\n" * 40)
time.sleep(1)
# %%
panel = Panel(lambda size: size, [log2_slider("size", 16, 64, 16)], lambda size: (f"size {size}\\n" * 12, []), name="toy")
panel
''' + '''# %%
time.sleep(0.4)
print("another line\\n" * 30)
''' * 4 + '''# %% [markdown]
# ## Explain
# %% [markdown]
# ## In practice
'''
# How far the panel's upper and lower edge are inside of what is seen of the notebook, in px.
INSIDE = """() => {
    const panel = document.querySelector('.vmio-panel').getBoundingClientRect();
    const page = document.querySelector('.vmio-panel').closest('.jp-WindowedPanel-outer').getBoundingClientRect();
    return [panel.top - page.top, page.bottom - panel.bottom];
}"""
TOP = "() => document.querySelector('.jp-WindowedPanel-outer').scrollTop"


@pytest.fixture(scope="module")
def lab(server):
    """JupyterLab as students have it: its page leaves out of its layout what is out of sight."""
    for name in ("all", "single", "hand"):
        lab_server.store(SOURCE, server.work / f"{name}.ipynb")
    name = "notebook-extension/tracker"
    server.setting(name, {"windowingMode": "contentVisibility"})
    yield server
    server.setting(name, lab_server.SETTINGS[name])


def rest(page):
    """Let whatever would still move it, move the page."""
    page.wait_for_timeout(3500)
    return page.evaluate(INSIDE)


@pytest.mark.parametrize("name", ["all.ipynb", COURSE.notebook("start_here")], ids=["all", "first"])
def test_after_run_all_the_first_panel_is_in_sight(lab, chromium, name):
    with chromium(1280, 720) as page:
        lab_server.run_all(page, lab, name)
        above, below = rest(page)
        assert above >= 0 and below >= 0, (above, below)
        if name == "all.ipynb":               # and again: all are run once more, and the page was elsewhere
            page.evaluate("() => { document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0; }")
            lab_server.run_cells(page)
            above, below = rest(page)
            assert above >= 0 and below >= 0, (above, below)


def test_single_cells_move_the_page_as_ever(lab, chromium):
    with chromium(1280, 720) as page:
        lab_server.open_notebook(page, lab, "single.ipynb")
        page.locator(".jp-Notebook .jp-CodeCell").first.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        page.keyboard.press("Shift+Enter")
        page.locator(".vmio-panel").wait_for(state="attached")
        page.evaluate("() => { document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0; }")     # no hand
        lab_server.idle(page)
        assert min(rest(page)) < 0 and page.evaluate(TOP) == 0


def test_who_has_moved_the_page_stays_there(lab, chromium):
    with chromium(1280, 720) as page:
        lab_server.open_notebook(page, lab, "hand.ipynb")
        page.click("#jp-MainMenu >> text=Run")
        page.click('li[data-command="runmenu:run-all"]')
        page.locator(".vmio-panel").wait_for(state="attached")
        page.mouse.move(800, 400)
        page.mouse.wheel(0, -60)
        page.wait_for_timeout(300)
        before = page.evaluate(TOP)
        lab_server.settled(page)
        assert min(rest(page)) < 0 and page.evaluate(TOP) == before, "it has gone to the panel"
