"""JupyterLab and Chromium for the browser tests, and the few steps a reader takes in them.

The order of the steps matters: the notebook's own indicator says idle before
its kernel is connected, and Run All then runs nothing, so the status bar is
what counts.  Settings, kernels and notebooks live in a folder of the test's own.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

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
SLIDER = ".widget-slider [role=slider]"
LIMIT = 60_000  # ms for one step of a page


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


@contextmanager
def jupyterlab(folder, notebooks):
    """JupyterLab on a copy of `notebooks`, all its settings in `folder`; gives (address, token)."""
    work = folder / "notebooks"
    shutil.copytree(notebooks, work, ignore=shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__"))
    for name, values in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
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
         f"--ServerApp.root_dir={work}"], env=environment, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            if server.poll() is not None:
                raise RuntimeError(f"JupyterLab stopped:\n{(folder / 'jupyterlab.log').read_text(errors='replace')[-2000:]}")
            try:
                urllib.request.urlopen(f"{address}/api/status?token={token}", timeout=2).close()
                break
            except OSError:
                time.sleep(0.25)
        else:
            raise RuntimeError("JupyterLab did not answer within a minute")
        yield address, token
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


@contextmanager
def chromium(width=1600, height=900):
    """A page of the system's browser; Playwright brings no browser of its own."""
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(LIMIT)
            yield page
        finally:
            browser.close()


def idle(page):
    """Wait until the status bar says that the kernel is connected and idle."""
    idle_for(page, LIMIT)


def idle_for(page, limit):
    """Wait for that, at most so many ms."""
    page.wait_for_function("document.querySelector('#jp-main-statusbar')?.innerText.includes('| Idle')", timeout=limit)


# Every code cell that has something in it has been run, also those out of sight, which have no innerText.
RAN = ("() => [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].filter(c => c.querySelector('.cm-content').textContent.trim())"
       ".every(c => /\\[\\d+\\]/.test(c.querySelector('.jp-InputPrompt').textContent))")


def run_all(page, server, name):
    """Open a notebook of the server and run it to its end."""
    address, token = server
    page.goto(f"{address}/lab/tree/{name}?token={token}&reset")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    idle(page)
    page.evaluate("document.querySelectorAll('.jp-CodeCell .jp-InputPrompt').forEach(one => one.dataset.before = one.innerText)")
    page.click("#jp-MainMenu >> text=Run")
    page.click('li[data-command="runmenu:run-all"]')
    page.wait_for_function(
        "[...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].filter(c => c.querySelector('.cm-content').innerText.trim())"
        ".every(c => /\\[\\d+\\]/.test(c.querySelector('.jp-InputPrompt').innerText))", timeout=4 * LIMIT)
    idle(page)


def readout(page, panel):
    """The readout's text of panel number `panel`."""
    return page.locator(".vmio-card").nth(panel).locator(".vmio-readout").inner_text()


def press(page, slider, key, panel_box):
    """Press a key on a slider and wait for another readout; milliseconds, or None when nothing changed in 3 s."""
    slider.focus()
    return page.evaluate("""async ([box, key]) => {
        const text = () => box.querySelector('.vmio-readout')?.innerText + box.querySelector('.vmio-figures')?.innerHTML;
        const before = text(), start = performance.now();
        document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
        while (text() === before) {
            if (performance.now() - start > 3000) return null;
            await new Promise(done => requestAnimationFrame(done));
        }
        return performance.now() - start;
    }""", [panel_box.element_handle(), key])


# What is wrong with how a panel looks now: texts of its drawings that lie on one another, on an arrow's box or on the readout,
# that leave the card, or that are smaller than 14 px.
FAULTS = """box => {
    const found = [], panel = box.getBoundingClientRect();
    const crosses = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
    const seen = one => one.getClientRects().length && one.textContent.trim() && getComputedStyle(one).visibility !== 'hidden';
    const texts = [...box.querySelectorAll('svg text')].filter(seen).flatMap(one => {
        const spans = [...one.querySelectorAll('tspan')], scale = one.getScreenCTM().a;
        const size = parseFloat(getComputedStyle(one).fontSize) * Math.hypot(one.getScreenCTM().a, one.getScreenCTM().b);
        if (size < 13.95) found.push(`${one.textContent}: ${size.toFixed(1)} px`);
        return [{words: one.textContent, rect: one.getBoundingClientRect(), inside: one.closest('svg')}];
    });
    const blocks = [...box.querySelectorAll('.vmio-readout, .vmio-idle, .vmio-controls > *')].map(one => ({words: one.className, rect: one.getBoundingClientRect()}));
    const boxes = [...box.querySelectorAll('.vmio-box')].map(one => one.getBoundingClientRect());
    texts.forEach((one, at) => {
        const {left, right, top, bottom} = one.rect, svg = one.inside.getBoundingClientRect();
        if (left < svg.left - 2 || right > svg.right + 2 || top < svg.top - 2 || bottom > svg.bottom + 3) found.push(`${one.words}: leaves its figure`);
        for (const other of [...texts.slice(at + 1), ...blocks]) if (crosses(one.rect, other.rect)) found.push(`${one.words} | ${other.words}`);
        for (const other of boxes) {
            const within = left >= other.left - 1 && right <= other.right + 1 && top >= other.top - 1 && bottom <= other.bottom + 1;
            if (crosses(one.rect, other) && !within) found.push(`${one.words}: over a box`);
        }
    });
    for (const chart of box.querySelectorAll('.vmio-figures svg[data-kind]')) {
        if (!chart.querySelector('.vmio-title')?.textContent || !chart.querySelector('.vmio-label')?.textContent) found.push('a figure without title or axis');
        if (chart.querySelectorAll('.vmio-tick').length < 2) found.push(`${chart.getAttribute('aria-label')}: an axis without ticks`);
        if (chart.querySelector('[data-whole=false]')) found.push(`${chart.querySelector('[data-whole=false]').textContent}: longer than its axis`);
    }
    if (box.querySelector('.vmio-readout').scrollWidth > box.querySelector('.vmio-readout').clientWidth + 1) found.push('the readout is cut off');
    return found;
}"""
VIEW = "() => Math.min(...[...document.querySelectorAll('.jp-WindowedPanel-outer')].map(one => one.clientHeight))"
SEEN = "box => box.querySelector('.vmio-readout')?.innerText + box.querySelector('.vmio-figures')?.innerHTML"
NAMED = ("slider", "combobox", "checkbox", "textbox", "group", "button", "img")


def changes(page, panel, act):
    """Whether `act()` changes what the panel shows within 3 s."""
    from playwright.sync_api import TimeoutError
    box = panel.element_handle()
    before = box.evaluate(SEEN)
    act()
    try:
        page.wait_for_function(f"([box, before]) => ({SEEN})(box) !== before", arg=[box, before], timeout=3000)
    except TimeoutError:
        return False
    return True


def excused(panel, label):
    """Whether the panel says of a control that it changes nothing as the others stand."""
    return f'"{label}"' in panel.locator(".vmio-idle").text_content()


def other_controls(panel):
    """For each row of buttons, list and tick box of a panel: (what it is, two things to do to it, there and back)."""
    for group in panel.get_by_role("group").all():
        off, on = group.locator("[aria-pressed=false]").first.element_handle(), group.locator("[aria-pressed=true]").element_handle()
        yield group.get_attribute("aria-label"), (off.click, on.click)
    for box in panel.get_by_role("combobox").all():
        now, values = box.input_value(), box.evaluate("list => [...list.options].map(one => one.value)")
        other = values[values.index(now) - 1]
        yield other, (lambda: box.select_option(other), lambda: box.select_option(now))
    for box in panel.get_by_role("checkbox").all():
        yield "tick box", (lambda: box.press("Space"), lambda: box.press("Space"))


def extremes(panel):
    """For each control of a panel: (its name, what sets it to each of its ends, or to each of its choices), then back to where it was."""
    for one in panel.locator(SLIDER).all():
        was = one.get_attribute("aria-valuenow")
        yield one.get_attribute("aria-label"), [lambda key=key: one.press(key) for key in ("Home", "End")]
        one.press("Home")
        while one.get_attribute("aria-valuenow") != was:
            one.press("ArrowRight")
    for group in panel.locator(".widget-toggle-buttons [role=group]").all():
        was = group.locator("[aria-pressed=true]").element_handle()
        yield group.get_attribute("aria-label"), [one.click for one in group.get_by_role("button").all()]
        was.click()
    for box in panel.get_by_role("combobox").all():
        was, values = box.input_value(), box.evaluate("list => [...list.options].map(one => one.value)")
        yield "list", [lambda value=value: box.select_option(value) for value in values]
        box.select_option(was)
    for box in panel.get_by_role("checkbox").all():
        yield "tick box", [lambda: box.press("Space"), lambda: box.press("Space")]


def settled(page):
    """Wait until the kernel has answered every move and the page has drawn it."""
    page.wait_for_timeout(120)
    idle(page)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def nameless(panel):
    """Lines of what a screen reader is told about a panel in which something has no name."""
    words = re.compile(rf"^\s*- '?({'|'.join(NAMED)})\b(?! \")")
    return [line.strip() for line in panel.aria_snapshot().splitlines() if words.match(line)]


def screenshots(page, folder, name):
    """The page as a projector (1280x720) and a monitor (1600x900) show it."""
    for width, height in ((1600, 900), (1280, 720)):
        page.set_viewport_size({"width": width, "height": height})
        page.screenshot(path=str(folder / f"{name}-{width}x{height}.png"))


def percentiles(times):
    """(p50, p95) of milliseconds."""
    ordered = sorted(times)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
