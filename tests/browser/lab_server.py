"""JupyterLab and Chromium for the browser tests, and how a notebook is opened and run in them.

The order of the steps matters: the notebook's own indicator says idle before
its kernel is connected, and Run All then runs nothing, so the status bar is
what counts.  Settings, kernels and notebooks live in a folder of the test's own.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from labkit.environment import EXTENSION, start_kernels_with_ours

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
PLACES = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
          "C:/Program Files/Google/Chrome/Application/chrome.exe")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
LIMIT = 300_000  # ms for one step of a page: no measure of anything, only an end for a page that hangs
ANSWERS = Path(__file__).with_name("answers.js")


def find_browser():
    """The system's Chromium or Chrome, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None) or \
        next((path for path in PLACES if os.path.exists(path)), None)


def needed():
    """Skip a test where there is no browser or no JupyterLab; with CI set, a missing browser fails it."""
    import pytest
    if find_browser() is None:
        reason = "no Chromium or Chrome is installed: the browser tests did not run"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    pytest.importorskip("jupyterlab")


def store(source, path):
    """Make a notebook of a lesson's source (percent format), not executed, in a folder of its own."""
    import nbformat

    from vmio.lessons.build import skeleton
    path.parent.mkdir(exist_ok=True)
    nbformat.write(skeleton(source), path)


def copy(notebooks, work):
    """Copy notebooks as they are stored over those that were worked with."""
    shutil.copytree(notebooks, work, ignore=shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__"), dirs_exist_ok=True)


class Server(NamedTuple):
    """A JupyterLab: where it answers, the folder of its settings, and the one of its notebooks."""

    address: str
    token: str
    folder: Path

    @property
    def work(self):
        """The folder of its notebooks."""
        return self.folder / "notebooks"

    def page(self, name):
        """The address of a notebook's page."""
        return f"{self.address}/lab/tree/{name}?token={self.token}&reset"

    def setting(self, name, values):
        """Set a plug-in's settings, for pages that are opened from now on."""
        path = self.folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")

    def ask(self, path, method="GET"):
        """What its REST interface says."""
        request = urllib.request.Request(f"{self.address}/api/{path}?token={self.token}", method=method)
        with urllib.request.urlopen(request, timeout=LIMIT / 1000) as answer:
            return json.loads(answer.read() or b"null")

    def end_kernels(self):
        """End all kernels that run."""
        for kernel in self.ask("kernels"):
            self.ask(f"kernels/{kernel['id']}", "DELETE")


@contextmanager
def jupyterlab(folder, notebooks):
    """JupyterLab on a copy of `notebooks`, all its settings in `folder`; gives a Server."""
    work = folder / "notebooks"
    copy(notebooks, work)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    environment = {**os.environ, "JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_DATA_DIR": str(folder / "data"),
                   "JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
                   "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"), "IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": str(ROOT), "VMIO_STRICT": "0",
                   "JUPYTER_PATH": EXTENSION}
    start_kernels_with_ours(folder)
    log = open(folder / "jupyterlab.log", "wb")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
         f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
         f"--ServerApp.root_dir={work}", "--LabApp.expose_app_in_browser=True"], env=environment, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    made = Server(address, token, folder)
    for name, values in SETTINGS.items():
        made.setting(name, values)
    try:
        for _ in range(LIMIT // 250):
            if server.poll() is not None:
                raise RuntimeError(f"JupyterLab stopped:\n{(folder / 'jupyterlab.log').read_text(errors='replace')[-2000:]}")
            try:
                urllib.request.urlopen(f"{address}/api/status?token={token}", timeout=2).close()
                break
            except OSError:
                time.sleep(0.25)
        else:
            raise RuntimeError("JupyterLab did not answer")
        yield made
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


@contextmanager
def browser():
    """The system's browser; Playwright brings none of its own."""
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        try:
            yield made
        finally:
            made.close()


@contextmanager
def pages(browser):
    """What opens a page of that browser, `with chromium(width, height) as page`; what one page has fetched the next needn't."""
    context = browser.new_context()
    context.add_init_script(path=ANSWERS)
    context.set_default_timeout(LIMIT)

    @contextmanager
    def chromium(width=1600, height=900):
        page = context.new_page()
        try:
            page.set_viewport_size({"width": width, "height": height})
            yield page
        finally:
            page.close()
    try:
        yield chromium
    finally:
        context.close()


@contextmanager
def chromium(width=1600, height=900):
    """A page of a browser of its own."""
    with browser() as made, pages(made) as opened, opened(width, height) as page:
        yield page


def idle(page):
    """Wait until the status bar says that the kernel is connected and idle."""
    idle_for(page, LIMIT)


def idle_for(page, limit):
    """Wait for that, at most so many ms."""
    page.wait_for_function("document.querySelector('#jp-main-statusbar')?.innerText.includes('| Idle')", timeout=limit)


# Every code cell that has something in it has been run, also those out of sight, which have no innerText.
RAN = ("() => [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].filter(c => c.querySelector('.cm-content').textContent.trim())"
       ".every(c => /\\[\\d+\\]/.test(c.querySelector('.jp-InputPrompt').textContent))")


def open_notebook(page, server, name):
    """Open a notebook of the server and wait for its kernel."""
    page.goto(server.page(name))
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    idle(page)


# Closes what is open in the page, with its kernel, and opens a notebook there if one is named: no page is loaded anew for it.
INSTEAD = """async (path) => {
    for (const one of [...jupyterapp.shell.widgets('main')]) {
        if (one.context) one.context.model.dirty = false;      // nobody is asked whether to save it
        await one.sessionContext?.shutdown();
        one.dispose();
    }
    unanswered.clear();
    if (!path) return;
    const opened = await jupyterapp.commands.execute('docmanager:open', {path});
    await opened.context.ready;
    await opened.sessionContext.ready;
    await opened.sessionContext.session.kernel.info;
}"""


def open_instead(page, name):
    """Close what is open in a page of JupyterLab, and open another notebook there."""
    page.evaluate(INSTEAD, name)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    idle(page)


def run_all(page, server, name):
    """Open a notebook of the server and run it to its end."""
    open_notebook(page, server, name)
    run_cells(page)


def run_cells(page):
    """Run the open notebook to its end."""
    before = page.evaluate("() => asked")
    page.click("#jp-MainMenu >> text=Run")
    page.click('li[data-command="runmenu:run-all"]')
    page.wait_for_function("before => asked > before", arg=before)      # a stored notebook's cells have their numbers already
    page.wait_for_function(RAN, timeout=4 * LIMIT)
    idle_for(page, 4 * LIMIT)
    settled(page)


def settled(page):
    """Wait until the kernel has answered every move and the page has drawn it."""
    page.evaluate("() => answered()")
