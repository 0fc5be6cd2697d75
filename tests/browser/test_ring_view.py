"""The ring in a real page: its buttons step, its cursors travel, its words follow, and the kernel can set the frame."""


import lab_server  # beside this file
import pytest

pytestmark = pytest.mark.browser

TOY = '''\
# %%
from vmio.lab.ring_view import RingView
from vmio.experiments.ringsteps import SCRIPTS, play
view = RingView(title="Toy.", frames=play(SCRIPTS["ring full"]).frames)
view
# %%
view.frame = 1
'''
SLACK = 0.01  # degrees: the page keeps places as 32-bit floats
# Where a cursor is in each picture of half a second that begins with a click.
WATCH = """async ([button, cursor]) => {
    const dot = document.querySelector(cursor + ' circle'), svg = dot.ownerSVGElement, seen = [];
    document.querySelector(button).click();
    const end = performance.now() + 600;
    while (performance.now() < end) {
        await new Promise(done => requestAnimationFrame(done));
        const angle = Math.atan2(dot.cx.baseVal.value - 470, 226 - dot.cy.baseVal.value) * 180 / Math.PI;
        if (dot.ownerSVGElement !== svg || !dot.isConnected) return null;
        if (seen.at(-1) !== angle) seen.push(angle);
    }
    return seen.map(angle => (angle + 360) % 360);
}"""


@pytest.fixture(scope="module")
def page(desk):
    lab_server.store(TOY, desk.server.work / "99_ring.ipynb")
    page = desk.run("99_ring.ipynb", 1600, 900)
    page.wait_for_selector(".vmio-ring[data-frame='1']")    # the kernel set it
    return page


def step_to(page, frame):
    """Press Back or Step until that frame is shown."""
    while (at := int(page.locator(".vmio-ring").get_attribute("data-frame"))) != frame:
        page.locator(".vmio-ring-step-button" if at < frame else ".vmio-ring-back-button").click()
    page.wait_for_timeout(400)


def test_step_moves_cursor_and_words(page):
    step_to(page, 1)
    assert page.locator(".vmio-ring-write").text_content() == "3,600"
    assert page.locator("[data-record='0']").get_attribute("data-state") == "written"
    seen = page.evaluate(WATCH, [".vmio-ring-step-button", ".vmio-ring-cursor-write"])
    start, end = 3600 * 360 / 4096, 728 * 360 / 4096
    assert len(seen) > 4, "the cursor jumps"
    way = [(angle - start + SLACK) % 360 for angle in seen]
    assert way == sorted(way) and abs(way[-1] - (end - start) % 360) < 2 * SLACK, "it does not travel clockwise to its place"
    assert page.locator(".vmio-ring-write").text_content() == "728"
    assert page.locator(".vmio-ring-used").text_content() == "1,224 used"
    assert page.locator("[data-record='0']").get_attribute("data-state") == "published"
    assert page.locator(".vmio-ring-text").text_content() == "Step 2 of 39: producer publishes write index 728"
    assert page.locator(".vmio-ring svg").get_attribute("aria-label").startswith("Toy. Step 2 of 39: producer publishes")


def test_back_goes_back_the_same_way(page):
    step_to(page, 2)
    seen = page.evaluate(WATCH, [".vmio-ring-back-button", ".vmio-ring-cursor-write"])
    way = [(728 * 360 / 4096 - angle + SLACK) % 360 for angle in seen]
    assert len(seen) > 4 and way == sorted(way) and page.locator(".vmio-ring-write").text_content() == "3,600"


def test_signal_sleep_and_room(page):
    lit = page.locator(".vmio-ring-signal.vmio-lit")
    step_to(page, 4)
    assert lit.count() == 1 and page.locator(".vmio-ring-signals").text_content() == "signals: 1"
    assert page.locator(".vmio-ring-consumer .vmio-ring-state").text_content() == "asleep"
    step_to(page, 5)
    assert lit.count() == 0
    step_to(page, 14)
    assert page.locator(".vmio-ring-pending").text_content() == "1,224"
    assert page.locator(".vmio-ring-record").count() == 3


def test_keys_move_the_range_and_play_plays(page):
    step_to(page, 3)
    page.locator(".vmio-ring-range").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".vmio-ring[data-frame='4']")
    page.locator(".vmio-ring-play-button").click()
    page.wait_for_selector(".vmio-ring[data-frame='6']")
    page.locator(".vmio-ring-play-button").click()
    at = page.locator(".vmio-ring").get_attribute("data-frame")
    page.wait_for_timeout(1500)
    assert page.locator(".vmio-ring").get_attribute("data-frame") == at, "Pause does not pause"
    step_to(page, 39)
    assert page.locator(".vmio-ring-text").text_content().endswith("drained")
