"""Each lesson as a reader meets it: opened in JupyterLab, run, every control moved, and all of it named for a screen reader."""

import shutil

import pytest

import lab_server  # beside this file

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


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    lab_server.needed()
    folder = tmp_path_factory.mktemp("lab")
    copy = folder / "source"
    shutil.copytree(NOTEBOOKS, copy)
    lab_server.store(TOY, copy / "99_toy.ipynb")
    with lab_server.jupyterlab(folder / "server", copy) as running:
        yield running


@pytest.mark.parametrize("name", [*sorted(path.name for path in NOTEBOOKS.glob("[0-9A][0-9]_*.ipynb")), "99_toy.ipynb"])
def test_every_control_moves_its_readout(server, name, tmp_path, capsys):
    with lab_server.chromium() as page:
        broken = []
        page.on("pageerror", lambda error: broken.append(str(error)))
        lab_server.run_all(page, server, name)
        assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
        panels = page.locator(".vmio-panel")
        times = []
        for at in range(panels.count()):
            panel = panels.nth(at)
            sliders = panel.locator(lab_server.SLIDER)
            for number in range(sliders.count()):
                one = sliders.nth(number)
                took = [lab_server.press(page, one, key, panel) for key in ("ArrowRight", "ArrowLeft")]
                label = one.get_attribute("aria-label")
                assert any(took) or lab_server.excused(panel, label), f"{name}: slider {number}, {label}, of panel {at} changes nothing"
                times += [ms for ms in took if ms]
            for what, acts in lab_server.other_controls(panel):
                moved = [lab_server.changes(page, panel, act) for act in acts]
                assert any(moved) or lab_server.excused(panel, what), f"{name}: {what} of panel {at} changes nothing"
            assert not lab_server.nameless(panel), f"{name}: panel {at} has something without a name"
            words = panel.locator(".vmio-readout").get_attribute("id")
            pictures = panel.locator(".vmio-figures svg")
            assert [one.get_attribute("aria-describedby") for one in pictures.all()] == [words] * pictures.count()
        assert page.locator(".vmio-error").count() == 0
        assert not broken, broken
        lab_server.screenshots(page, tmp_path, name.removesuffix(".ipynb"))
    if times:
        with capsys.disabled():
            print("\n%s: slider key to readout p50 %.0f ms, p95 %.0f ms (%d moves)" % (name, *lab_server.percentiles(times), len(times)))
    if name == "99_toy.ipynb":
        assert len(times) == 4


def test_live_machine_is_text_in_the_page(server):
    with lab_server.chromium() as page:
        lab_server.run_all(page, server, "99_toy.ipynb")
        drawing = page.locator(".vmio-machine svg[role=img]")
        assert drawing.get_attribute("aria-label") == "PIO. guest to hypervisor: 256 exits."
        assert page.locator("[data-edge=guest-hypervisor] .vmio-count").text_content() == "256"
        page.locator(lab_server.SLIDER).first.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("document.querySelector('[data-edge=guest-hypervisor] .vmio-count').textContent === '512'")
        assert page.locator(".vmio-machine-text").text_content() == "PIO. guest to hypervisor: 512 exits."
