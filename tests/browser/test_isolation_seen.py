"""The map of an attack and the lanes of a double fetch in a real page: arrow, wall, harm, lines, steps."""

import lab_server  # beside this file
import pytest

pytestmark = pytest.mark.browser

TOY = '''\
# %%
from vmio.lessons.break_isolation import panel as lesson
panel = lesson.panel()
panel
# %%
lesson.fetches_panel()
'''
ALL = """\
# %%
from vmio.lessons.break_isolation import panel as lesson
lesson.reach_panel()
"""
# What the map shows: [the arrow's way, the wall, its name, {harmed place: its words}, places that are aimed at, the end].
MAP = """() => {
    const one = (name) => document.querySelector(name), all = (name) => [...document.querySelectorAll(name)];
    return [one('.vmio-attack').dataset.way, one('.vmio-wall').dataset.wall, one('.vmio-wall-name').textContent,
            Object.fromEntries(all('.vmio-place[data-harmed=true]').map((place) => [place.dataset.place, place.lastChild.textContent])),
            all('.vmio-place[data-aim=true]').map((place) => place.dataset.place), one('.vmio-end-words').textContent];
}"""


@pytest.fixture(scope="module")
def page(desk):
    lab_server.store(TOY, desk.server.work / "99_isolation.ipynb")
    return desk.run("99_isolation.ipynb", 1280, 720)


def drawn(page, id, without):
    """Set the panel, wait until it has an end and an aim, and read the map."""
    page.locator(".vmio-panel").first.get_by_role("combobox").select_option(id)
    page.get_by_role("group", name="Switched off").get_by_role("button", name=without).click()
    lab_server.settled(page)
    page.wait_for_function("() => document.querySelector('.vmio-place[data-aim=true]') && !document.querySelector('[data-way=waiting]')")
    return page.evaluate(MAP)


def test_an_attack_is_stopped_at_a_wall_that_has_a_name(page):
    assert drawn(page, "dma-into-neighbour", "nothing") == [
        "stopped", "up", "IOMMU domain", {}, ["neighbour RAM"], "\u2713 refused: somebody said no"]
    assert page.locator(".vmio-stop").count() == page.locator(".vmio-wish").count() == 1 and page.locator(".vmio-hit").count() == 0
    assert page.locator(".vmio-wall-check").all_text_contents() == ["Remapper.translate", "vmio/passthrough/iommu/remapper.py"]
    assert page.locator(".vmio-door[data-used=true]").text_content() == "device's DMA"
    assert page.locator(".vmio-code").inner_text().splitlines()[0] == "def transfer(world, cpu, kind, spa):"


@pytest.mark.parametrize("id, without, shown", [
    ("dma-into-neighbour", "the IOMMU", ["through", "off", "IOMMU domain (off)", {"neighbour RAM": "\u2717 changed"}, ["neighbour RAM"],
                                         "\u2717 went through"]),
    ("ram-read-past-the-end", "its defence", ["through", "off", "SLAT (off)", {"neighbour RAM": "\u2717 leaked", "host memory": "\u2717 leaked"},
                                              ["neighbour RAM", "host memory"], "\u2717 went through"]),
    ("ring-index-outside", "its defence", ["through", "off", "ring check: index (off)", {"neighbour requests": "\u2717 24 of 28", "host itself": "\u2717 stopped"},
                                           ["neighbour requests", "host itself"], "\u2717 the host has stopped"]),
    ("flood-of-requests", "its defence", ["through", "off", "fair queue (off)", {"neighbour requests": "\u2717 53 times"}, ["neighbour requests"],
                                          "\u2717 the neighbour waits 53 times as long"])])
def test_what_it_reaches_has_a_cross_and_a_word(page, id, without, shown):
    assert drawn(page, id, without) == shown
    assert page.locator(".vmio-hit").count() == len(shown[3]) and page.locator(".vmio-stop, .vmio-wish").count() == 0
    assert page.locator(".vmio-map svg").get_attribute("aria-label").startswith(f"{id}. The hostile guest goes by its ")


def test_without_a_wall_an_attack_may_reach_nothing(page):
    assert drawn(page, "msi-foreign-entry", "the IOMMU")[::5] == ["nowhere", "no wall, but nothing is reached"]


def test_the_double_fetch_is_stepped_and_ends_with_harm(page):
    held = """() => [...document.querySelectorAll('.vmio-held')].map((one) => `${one.dataset.lane} ${one.dataset.has}`)"""
    page.locator(".vmio-timeline-range").evaluate("one => { one.value = 0; one.oninput(); }")
    page.wait_for_selector(".vmio-timeline[data-frame='0']")
    assert page.evaluate(held) == ["page number 640"] and page.locator(".vmio-moment").count() == 1
    for at in range(1, 7):
        page.locator(".vmio-timeline-step-button").click()
        page.wait_for_selector(f".vmio-timeline[data-frame='{at}']")
    assert page.evaluate(held) == ["page number 640", "page number 2,304", "host 640", "host 2,304"]
    assert page.locator(".vmio-moment[data-harm=true]").count() == 1
    assert page.locator(".vmio-timeline-text").text_content() == "Step 7 of 7, at 355.2 us: disk has written over the neighbour's canary."
    page.locator(".vmio-panel").last.get_by_role("checkbox").press("Space")
    page.wait_for_selector(".vmio-timeline[data-frame='0']")
    page.locator(".vmio-timeline-range").evaluate("one => { one.value = one.max; one.oninput(); }")
    page.wait_for_selector(".vmio-timeline[data-frame='5']")
    assert page.evaluate(held) == ["page number 640", "page number 2,304", "host 640"]
    assert page.locator(".vmio-moment[data-harm=true]").count() == 0


def test_all_attacks_are_signs_and_one_row_is_listed(desk):
    lab_server.store(ALL, desk.server.work / "98_reach.ipynb")
    page = desk.run("98_reach.ipynb", 1280, 720)
    ran = "() => !document.querySelector('.vmio-readout').innerText.includes('still to be run')"
    signs = """() => [...document.querySelectorAll('.vmio-row')].map((row) => [row.dataset.place, row.dataset.here === 'true',
        row.querySelectorAll('[data-how=""]').length, row.querySelectorAll('.vmio-sign:not([data-how=""])').length])"""
    page.wait_for_function(ran)
    held = page.evaluate(signs)
    assert [row[0] for row in held if row[1]] == ["neighbour RAM"] and sum(row[3] for row in held) == 0 and sum(row[2] for row in held) > 81
    page.locator(".vmio-panel").get_by_role("combobox").select_option("host's interrupts")
    page.get_by_role("group", name="Switched off").get_by_role("button", name="the IOMMU").press("Space")
    lab_server.settled(page)
    page.wait_for_function(ran)
    reached = {row[0]: tuple(row[1:]) for row in page.evaluate(signs)}
    assert {place: row for place, row in reached.items() if row[2]} == {
        "neighbour RAM": (False, held[0][2] - 4, 4), "host tables": (False, 0, 1), "host interrupts": (True, 2, 1)}
    assert page.locator(".vmio-list").inner_text().splitlines() == [
        "passthrough, 1 of 3:", "\u2717 msi-any-vector: changed", "\u25cb msi-foreign-entry", "\u25cb msi-beyond-the-table"]
    assert page.locator(".vmio-reach svg").get_attribute("aria-label").startswith("Who gets where, switched off: the IOMMU. neighbour's RAM: emulated 0 of 4")
