"""Each lesson as a reader meets it, opened in JupyterLab and run once: what its panels look like on a projector, every control moved, all named."""

import pytest

import lab_server  # beside this file
import panel_moves

pytestmark = pytest.mark.browser

NOTEBOOKS = lab_server.ROOT / "notebooks"
TOY = '''\
# %%
from vmio.lab import MachineView, Panel, charts, choice, edge, log2_slider, slider
def model(size, depth, mode):
    return {"PIO": size * depth, "HLT": 1, "modes": len(mode)}
def view(exits):
    return f"PIO {exits['PIO']:,}", [charts.bars("Exits by reason", exits, "exits")], {"edges": [edge("guest", "hypervisor", "exits", exits["PIO"])]}
# %%
Panel(model, [log2_slider("size", 16, 4096, 64, "Bytes"), slider("depth", 1, 9, 1, 4, "Queue depth"),
              choice("mode", ["emulated", "split"])], view, name="toy", live=MachineView(title="PIO"))
'''


LESSONS = sorted(path.name for path in NOTEBOOKS.glob("[0-9LA][0-9]_*.ipynb"))


@pytest.fixture(scope="module", autouse=True)
def toy(server):
    """A notebook that is no lesson, and moves all that a panel has."""
    lab_server.store(TOY, server.work / "99_toy.ipynb")


def look(page, at, panel, where):
    """(how high a panel is, what is wrong with how it looks) when all is drawn."""
    lab_server.settled(page)
    return round(panel.bounding_box()["height"]), [f"panel {at}, {where}: {fault}" for fault in panel.evaluate(panel_moves.FAULTS)]


# Three tests share one opening of each lesson: before any move, moves at a desk, and moves to every end on a projector.
@pytest.mark.parametrize("name", LESSONS, scope="module")
def test_panel_fits_as_it_opens(desk, name):
    page = desk.run(name, 1280, 720)
    view = page.evaluate(panel_moves.VIEW)
    seen = [look(page, at, panel, "as it opens") for at, panel in enumerate(page.locator(".vmio-panel").all())]
    faults = [fault for _, found in seen for fault in found]
    assert not faults, "\n".join(faults)
    assert seen and all(height <= view for height, _ in seen)


@pytest.mark.parametrize("name", [*LESSONS, "99_toy.ipynb"], scope="module")
def test_every_control_moves_its_readout(desk, name, tmp_path, capsys):
    page = desk.run(name, 1600, 900)
    lab_server.settled(page)
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    panels = page.locator(".vmio-panel")
    times = []
    for at in range(panels.count()):
        panel = panels.nth(at)
        sliders = panel.locator(panel_moves.SLIDER)
        for number in range(sliders.count()):
            one = sliders.nth(number)
            label = one.get_attribute("aria-label")
            excused = panel_moves.excused(panel, label)
            took = [panel_moves.press(page, one, key, panel, excused) for key in ("ArrowRight", "ArrowLeft")]
            assert any(took) or panel_moves.excused(panel, label), f"{name}: slider {number}, {label}, of panel {at} changes nothing"
            times += [ms for ms in took if ms]
        for what, acts in panel_moves.other_controls(panel):
            excused = panel_moves.excused(panel, what)
            moved = [panel_moves.changes(page, panel, act, excused) for act in acts]
            assert any(moved) or panel_moves.excused(panel, what), f"{name}: {what} of panel {at} changes nothing"
        assert not panel_moves.nameless(panel), f"{name}: panel {at} has something without a name"
        words = panel.locator(".vmio-readout").get_attribute("id")
        pictures = panel.locator(".vmio-figures svg")
        assert [one.get_attribute("aria-describedby") for one in pictures.all()] == [words] * pictures.count()
    assert page.locator(".vmio-error").count() == 0
    assert not desk.broken, desk.broken
    panel_moves.screenshots(page, tmp_path, name.removesuffix(".ipynb"))
    if times:
        with capsys.disabled():
            print("\n%s: slider key to readout p50 %.0f ms, p95 %.0f ms (%d moves)" % (name, *panel_moves.percentiles(times), len(times)))
    if name == "99_toy.ipynb":
        assert len(times) == 4


@pytest.mark.parametrize("name", LESSONS, scope="module")
def test_panel_fits_and_nothing_lies_over_anything(desk, name, capsys):
    """Panels are in sight as a whole, with nothing over anything else, at every end of every control."""
    page = desk.run(name, 1280, 720)
    view, heights, faults = page.evaluate(panel_moves.VIEW), [], []
    for at, panel in enumerate(page.locator(".vmio-panel").all()):
        seen = []
        for control, acts in panel_moves.extremes(panel):
            for step, act in enumerate(acts):
                act()
                seen.append(look(page, at, panel, f"{control} {step}"))
        wide = panel.bounding_box()["width"]
        page.keyboard.press("Control+b")        # without the file list all is wider, and what grows with it higher
        seen.append(look(page, at, panel, "beside no file list"))
        assert panel.bounding_box()["width"] > wide
        page.keyboard.press("Control+b")
        heights.append(max(height for height, _ in seen))
        faults += [fault for _, found in seen for fault in found]
    with capsys.disabled():
        print(f"\n{name}: panels {heights} px high, the view {view}")
    assert not faults, "\n".join(faults)
    assert all(height <= view for height in heights)


def test_live_machine_is_text_in_the_page(desk):
    page = desk.run("99_toy.ipynb", 1600, 900)
    drawing = page.locator(".vmio-machine svg[role=img]")
    assert drawing.get_attribute("aria-label") == "PIO. guest to hypervisor: 256 exits."
    assert page.locator("[data-edge=guest-hypervisor] .vmio-count").text_content() == "256"
    page.locator(panel_moves.SLIDER).first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('[data-edge=guest-hypervisor] .vmio-count').textContent === '512'")
    assert page.locator(".vmio-machine-text").text_content() == "PIO. guest to hypervisor: 512 exits."
