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
def server(tmp_path_factory):
    """JupyterLab as students have it: its page leaves out of its layout what is out of sight."""
    lab_server.needed()
    folder, before = tmp_path_factory.mktemp("rests"), lab_server.SETTINGS
    for name in ("all", "single", "hand"):
        lab_server.store(SOURCE, folder / "source" / f"{name}.ipynb")
    (folder / "source" / "first.ipynb").write_bytes((lab_server.ROOT / "notebooks" / COURSE.notebook("start_here")).read_bytes())
    lab_server.SETTINGS = {**before, "notebook-extension/tracker": {"windowingMode": "contentVisibility"}}
    try:
        with lab_server.jupyterlab(folder / "server", folder / "source") as running:
            yield running
    finally:
        lab_server.SETTINGS = before


def rest(page):
    """Let whatever would still move it, move the page."""
    page.wait_for_timeout(3500)
    return page.evaluate(INSIDE)


@pytest.mark.parametrize("name", ["all", "first"])
def test_after_run_all_the_first_panel_is_in_sight(server, name):
    with lab_server.chromium(1280, 720) as page:
        lab_server.run_all(page, server, f"{name}.ipynb")
        above, below = rest(page)
        assert above >= 0 and below >= 0, (above, below)
        if name == "all":                   # and again: all are run once more, and the page was elsewhere
            page.evaluate("() => { document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0; }")
            page.click("#jp-MainMenu >> text=Run")
            page.click('li[data-command="runmenu:run-all"]')
            page.wait_for_timeout(3000)
            lab_server.idle(page)
            above, below = rest(page)
            assert above >= 0 and below >= 0, (above, below)


def test_single_cells_move_the_page_as_ever(server):
    address, token = server
    with lab_server.chromium(1280, 720) as page:
        page.goto(f"{address}/lab/tree/single.ipynb?token={token}&reset")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        lab_server.idle(page)
        page.locator(".jp-Notebook .jp-CodeCell").first.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        page.keyboard.press("Shift+Enter")
        page.locator(".vmio-panel").wait_for(state="attached")
        page.evaluate("() => { document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0; }")     # no hand
        lab_server.idle(page)
        assert min(rest(page)) < 0 and page.evaluate(TOP) == 0


def test_who_has_moved_the_page_stays_there(server):
    address, token = server
    with lab_server.chromium(1280, 720) as page:
        page.goto(f"{address}/lab/tree/hand.ipynb?token={token}&reset")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        lab_server.idle(page)
        page.click("#jp-MainMenu >> text=Run")
        page.click('li[data-command="runmenu:run-all"]')
        page.locator(".vmio-panel").wait_for(state="attached")
        page.mouse.move(800, 400)
        page.mouse.wheel(0, -60)
        page.wait_for_timeout(300)
        before = page.evaluate(TOP)
        page.wait_for_timeout(2500)
        lab_server.idle(page)
        assert min(rest(page)) < 0 and page.evaluate(TOP) == before, "it has gone to the panel"
