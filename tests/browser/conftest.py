"""What the tests of this folder share in one process: one Chromium, one JupyterLab, and what its pages have fetched.

Each is started when the first test asks for it, and ends after the last test of this folder: Playwright keeps an event loop
in this thread, which no other test may find there.
"""

from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import lab_server  # beside this file

HERE, NOTEBOOKS = Path(__file__).parent, lab_server.ROOT / "notebooks"
_MADE, _ENDS = {}, ExitStack()


def shared(name, make):
    """What the context manager that `make()` returns gave when it was entered for the first test."""
    if name not in _MADE:
        _MADE[name] = _ENDS.enter_context(make())
    return _MADE[name]


def end():
    """End all of it; whoever asks then starts it anew."""
    _MADE.clear()
    _ENDS.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item, nextitem):
    try:
        return (yield)
    finally:
        if nextitem is None or HERE not in nextitem.path.parents:
            end()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish():
    end()       # after a run that was interrupted


@pytest.fixture(scope="module")
def browser():
    """Chromium."""
    lab_server.needed()
    return shared("browser", lab_server.browser)


@pytest.fixture(scope="module")
def chromium(browser):
    """What opens a page: `with chromium(width, height) as page`."""
    return shared("pages", lambda: lab_server.pages(browser))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """JupyterLab with all lessons, fresh for each file of tests; after it its kernels end, and notebooks of its own may stay."""
    lab_server.needed()
    running = shared("server", lambda: lab_server.jupyterlab(tmp_path_factory.mktemp("lab"), NOTEBOOKS))
    lab_server.copy(NOTEBOOKS, running.work)
    yield running
    running.end_kernels()


class Desk:
    """A page of JupyterLab in which one notebook after the other is open and has been run; `broken` are its errors since then."""

    def __init__(self, page, server, session):
        self.page, self.server, self.session, self.name, self.loaded, self.broken = page, server, session, None, False, []
        page.on("pageerror", lambda error: self.broken.append(str(error)))

    def run(self, name, width, height):
        """The page, so large, with that notebook, which is run once for all tests that ask for it in a row."""
        self.page.set_viewport_size({"width": width, "height": height})
        if name != self.name:
            if self.loaded and not self.session.testsfailed:     # who knows what a test that failed has left there
                lab_server.open_instead(self.page, name)
            else:
                lab_server.open_notebook(self.page, self.server, name)
            self.loaded, self.name = True, None
            self.broken.clear()
            lab_server.run_cells(self.page)
            self.name = name
        return self.page

    def clear(self):
        """Close the notebook and end its kernel."""
        if self.loaded:
            self.name = None
            self.page.evaluate(lab_server.INSTEAD, None)


@pytest.fixture(scope="module")
def desk(request, server, chromium):
    """A page for all tests that want no more than a notebook that has been run."""
    @contextmanager
    def place():
        with chromium(1280, 720) as page:
            yield Desk(page, server, request.session)
    made = shared("desk", place)
    yield made
    made.clear()
