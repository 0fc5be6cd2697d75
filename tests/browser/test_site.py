"""The static site in Chromium: every lesson opened and run, its printed text compared with what is stored, and nothing fetched from elsewhere."""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import lab_server  # beside this file
import panel_moves
from labkit import Refusal, child, site

pytestmark = pytest.mark.browser

ROOT = lab_server.ROOT
NAMES = sorted(path.name for path in (ROOT / "notebooks").glob("[0-9LA][0-9]_*.ipynb"))
WAIT = 600_000      # ms: no measure of anything, only an end for a page that hangs
SWEEP = 120         # s, likewise, for a sweep's last result
TEXT = {"application/vnd.jupyter.stdout": "stdout", "text/plain": "text/plain"}
SEEN = """() => [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].map(cell => [...cell.querySelectorAll('.jp-OutputArea-output')]
    .map(one => [one.dataset.mimeType ?? '', one.textContent]))"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The site, its Python from npm, as `lab.py site DIR --runtime npm` makes it."""
    lab_server.needed()
    place = tmp_path_factory.mktemp("static") / "site"
    try:
        site.make(str(ROOT), str(place), "npm", child.run)
    except Refusal as refusal:
        reason = f"the site was not built: {refusal}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return place


@pytest.fixture(scope="module")
def address(folder):
    server = subprocess.Popen([sys.executable, str(folder / "serve.py"), "0", "--no-browser"], stdout=subprocess.PIPE, text=True)
    try:
        yield server.stdout.readline().split()[0]
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


@contextmanager
def visitor(browser, address):
    """A browser that has never been here; at its end no request has gone elsewhere, and the page had no error."""
    made = browser.new_context(viewport={"width": 1600, "height": 900}, accept_downloads=True)
    elsewhere, broken = [], []
    made.on("request", lambda one: None if one.url.startswith((address, "data:", "blob:")) else elsewhere.append(one.url))
    made.on("weberror", lambda one: broken.append(str(one.error)))
    made.set_default_timeout(WAIT)
    try:
        yield made
    finally:
        made.close()
    assert elsewhere == [] and broken == []


@pytest.fixture
def context(browser, address):
    with visitor(browser, address) as made:
        yield made


class Ahead:
    """Lessons in a visitor's page each; while one of them is looked at, the page of the next starts its Python."""

    def __init__(self, browser, address, names):
        self.browser, self.address, self.names, self.begun = browser, address, names, {}

    def begin(self, name):
        """Open a lesson's page, and don't wait for it."""
        ends = ExitStack()
        page = ends.enter_context(visitor(self.browser, self.address)).new_page()
        page.goto(f"{self.address}lab/index.html?path={name}", wait_until="commit")
        self.begun[name] = page, ends

    @contextmanager
    def page(self, name):
        """A lesson's page."""
        at = self.names.index(name)
        for one in self.names[at:at + 2]:
            if one not in self.begun:
                self.begin(one)
        page, ends = self.begun.pop(name)
        with ends:
            yield page


@pytest.fixture(scope="module")
def ahead(request, browser, address):
    asked = [item.callspec.params["name"] for item in request.session.items
             if item.path == request.path and "ahead" in item.fixturenames]
    made = Ahead(browser, address, asked)
    yield made
    for _, ends in made.begun.values():
        ends.close()


def stored(name):
    """What the stored notebook printed, [[text, ...] of each code cell]; None for a widget, which only lesson and kernel know."""
    cells = json.loads((ROOT / "notebooks" / name).read_text(encoding="utf-8"))["cells"]
    return [["".join(one["text"] if one["output_type"] == "stream" else one["data"].get("text/plain", "")) for one in cell["outputs"]]
            for cell in cells if cell["cell_type"] == "code"]


def lines(text):
    return [line.rstrip() for line in text.rstrip().splitlines()]


def told(text):
    """The lines of a text without why nothing can be run live, which another system says in other words."""
    return lines(re.sub(r"^RECORDED\. .*?(?=^(?:What follows was recorded|Recorded with))", "RECORDED.\n", text, flags=re.M | re.S))


def comes(true):
    """Whether `true()` becomes so: a sweep's results come one by one, when the kernel has nothing else to do."""
    end = time.monotonic() + SWEEP
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.25)
    return True


@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_runs_and_prints_what_is_stored(ahead, name, capsys):
    with ahead.page(name) as page:
        runs_and_prints_what_is_stored(page, name, capsys)


def runs_and_prints_what_is_stored(page, name, capsys):
    lab_server.idle_for(page, WAIT)
    start = time.monotonic()
    page.click("#jp-MainMenu >> text=Run")
    page.click('li[data-command="runmenu:run-all"]')
    page.wait_for_function(lab_server.RAN)
    lab_server.idle_for(page, WAIT)
    took = time.monotonic() - start
    want, got = stored(name), page.evaluate(SEEN)
    assert [len(one) for one in got] == [len(one) for one in want]
    compared = 0
    for number, (texts, outputs) in enumerate(zip(want, got)):
        for text, (mime, seen) in zip(texts, outputs):
            assert mime in ("", *TEXT) or "error" not in mime and "stderr" not in mime, f"cell {number}: {seen}"
            if mime in TEXT:
                assert told(seen) == told(text), f"cell {number}"
                compared += 1
    assert compared
    panels = page.locator(".vmio-panel")
    for text in (text for texts in want for text in texts if text.startswith("To see the panel")):
        assert comes(lambda: any(set(lines(one)) <= set(lines(text)) for one in panels.locator(".vmio-readout").all_text_contents())), \
            f"no panel shows what is stored: {text[:200]}"
    first = next(one for one in panels.all() if one.locator(panel_moves.SLIDER).count() or [*panel_moves.other_controls(one)])
    sliders = first.locator(panel_moves.SLIDER)
    acts = [lambda: (sliders.first.focus(), page.keyboard.press("ArrowRight"))] if sliders.count() else [acts[0] for _, acts in panel_moves.other_controls(first)]
    before = first.evaluate(panel_moves.SEEN)
    acts[0]()
    page.wait_for_function(f"([box, before]) => ({panel_moves.SEEN})(box) !== before", arg=[first.element_handle(), before])
    assert page.locator(".vmio-error").count() == 0
    with capsys.disabled():
        print(f"\n{name}: Run All {took:.0f} s, while the next lesson's page starts")


def test_the_first_page_opens_the_first_lesson_and_work_stays(context, address, tmp_path):
    page = context.new_page()
    page.goto(address)
    page.wait_for_url(f"**/lab/index.html?path={NAMES[0]}")
    cell = page.locator(".jp-Notebook .jp-CodeCell .cm-content").first
    cell.click()
    page.keyboard.press("Control+Home")
    page.keyboard.insert_text("# mine\n")
    page.keyboard.press("Control+s")
    page.wait_for_function("document.querySelectorAll('.lm-TabBar-tab.jp-mod-dirty').length === 0")
    page.reload()
    page.wait_for_function("document.querySelector('.jp-Notebook .jp-CodeCell .cm-content')?.textContent.includes('# mine')")
    page.click("#jp-MainMenu >> text=File")
    with page.expect_download() as waiting:
        page.click('li[data-command="docmanager:download"]')
    waiting.value.save_as(tmp_path / "mine.ipynb")
    notebook = json.loads((tmp_path / "mine.ipynb").read_text(encoding="utf-8"))
    assert any("# mine" in "".join(one["source"]) for one in notebook["cells"])
    assert notebook["metadata"]["vmio_master"]

    second = context.new_page()
    second.goto(f"{address}lab/index.html?path={NAMES[1]}")
    warned = second.locator(".vmio-guard[data-kind=second]")
    warned.wait_for()
    assert "open in another tab" in warned.text_content()
    assert page.locator(".vmio-guard").count() == 0


@pytest.mark.parametrize("kind, change, said", (
    ("browser", "delete globalThis.WebAssembly", "This browser lacks WebAssembly"),
    ("browser", "Object.defineProperty(globalThis, 'indexedDB', {value: null})", "This browser lacks a place for your work"),
    ("full", "navigator.storage.estimate = async () => ({quota: 60e6, usage: 59e6})", "has little room left for this site (1 MB)"),
    ("insecure", "Object.defineProperty(navigator, 'serviceWorker', {value: undefined})", "neither https nor this computer")))
def test_what_a_browser_lacks_is_said(context, address, kind, change, said):
    page = context.new_page()
    page.add_init_script(change)
    page.goto(f"{address}index.html?stay")
    warned = page.locator(f".vmio-guard[data-kind={kind}]")
    warned.wait_for()
    assert said in warned.text_content()
    assert page.locator("li a").count() == len(NAMES)


def test_two_builds_are_equal(folder, tmp_path):
    again = tmp_path / "again"
    site.make(str(ROOT), str(again), str(folder / "static" / "pyodide"), child.run)
    names = [{path.relative_to(one).as_posix() for path in one.rglob("*") if path.is_file()} for one in (folder, again)]
    assert names[0] == names[1] and len(names[0]) > 300
    assert [name for name in sorted(names[0]) if Path(folder, name).read_bytes() != Path(again, name).read_bytes()] == []
