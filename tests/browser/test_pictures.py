"""The README's pictures of the live machine are what the first lesson draws; VMIO_WRITE=1 in the environment stores them anew."""

import os

import pytest

import lab_server  # beside this file
from vmio.lessons.course import COURSE
from vmio.machine import files

pytestmark = pytest.mark.browser

FOLDER = lab_server.ROOT / "docs" / "pictures"
MODES = ("emulated", "split", "passthrough")
# As a file of its own: on white, with its words for those who hear it, without what only moves, and without what depends on this computer's fonts.
TAKE = """svg => {
    const copy = svg.cloneNode(true);
    copy.querySelectorAll('.vmio-dots').forEach(one => one.remove());
    copy.querySelectorAll('[textLength]').forEach(one => ['textLength', 'lengthAdjust'].forEach(name => one.removeAttribute(name)));
    copy.setAttribute('style', 'background:#fff');
    copy.setAttribute('width', '900');
    return new XMLSerializer().serializeToString(copy);
}"""


@pytest.fixture(scope="module")
def page(desk):
    return desk.run(COURSE.notebook("start_here"), 1600, 900)


@pytest.mark.parametrize("mode", MODES)
def test_stored_machine_is_the_live_one(page, mode):
    page.get_by_role("group", name="Mode").get_by_role("button", name=mode).click()
    drawing = page.locator(".vmio-machine svg")
    page.wait_for_function("([svg, mode]) => svg.getAttribute('aria-label').startsWith(`Disk, ${mode}.`)",
                           arg=[drawing.element_handle(), mode])
    text, path = drawing.evaluate(TAKE) + "\n", FOLDER / f"machine-{mode}.svg"
    if os.environ.get("VMIO_WRITE"):
        files.write_text(path, text)
    assert path.read_text(encoding="utf-8") == text, "run it with VMIO_WRITE=1 and commit docs/pictures"
