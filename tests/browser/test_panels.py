"""Panels as a class sees them on a projector of 1280x720: in sight as a whole, with nothing over anything else, at every end of every control."""

import pytest

import lab_server  # beside this file

pytestmark = pytest.mark.browser

NOTEBOOKS = lab_server.ROOT / "notebooks"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    lab_server.needed()
    with lab_server.jupyterlab(tmp_path_factory.mktemp("panels"), NOTEBOOKS) as running:
        yield running


@pytest.mark.parametrize("name", sorted(path.name for path in NOTEBOOKS.glob("[0-9A][0-9]_*.ipynb")))
def test_panel_fits_and_nothing_lies_over_anything(server, name, capsys):
    with lab_server.chromium(1280, 720) as page:
        lab_server.run_all(page, server, name)
        view, heights, faults = page.evaluate(lab_server.VIEW), [], []
        for at, panel in enumerate(page.locator(".vmio-panel").all()):
            box, highest = panel.element_handle(), 0

            def look(where):
                nonlocal highest
                lab_server.settled(page)
                highest = max(highest, round(panel.bounding_box()["height"]))
                faults.extend(f"panel {at}, {where}: {fault}" for fault in box.evaluate(lab_server.FAULTS))
            look("as it opens")
            for control, acts in lab_server.extremes(panel):
                for step, act in enumerate(acts):
                    act()
                    look(f"{control} {step}")
            wide = panel.bounding_box()["width"]
            page.keyboard.press("Control+b")        # without the file list all is wider, and what grows with it higher
            look("beside no file list")
            assert panel.bounding_box()["width"] > wide
            page.keyboard.press("Control+b")
            heights.append(highest)
        with capsys.disabled():
            print(f"\n{name}: panels {heights} px high, the view {view}")
        assert not faults, "\n".join(faults)
        assert all(height <= view for height in heights)
