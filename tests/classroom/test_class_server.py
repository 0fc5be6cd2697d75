"""A class on one real JupyterHub: eight students log in at once, each runs a lesson and moves its sliders; work and progress apart.

Needs the hub's tools (`python tests/classroom/hub_tools.py`).  Without them the test says NOT RUN; with CI=1 it fails.
"""

import hashlib
import json
import os
import subprocess
import sys
import threading
import traceback
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("jupyterlab")
pytest.importorskip("websocket")

import hub_rig
import hub_tools
from vmio import data, seed
from vmio.lessons import progress
from vmio.lessons.course import COURSE

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="the test's hub is tried on Linux")]
# A lesson each; those whose panels take the kernel longest come in the measured table of docs/doors.md.
CLASS = {"ada": "start_here", "ben": "trap_an_instruction", "cem": "emulate_a_device", "dia": "split_a_driver", "eva": "fill_a_ring",
         "fay": "pass_a_device_through", "gus": "share_a_device", "hal": "run_on_real_hardware"}
# In a kernel: a control of a panel that is open, as the page knows it, and what each of its moves is in a message.
CONTROL = """
import json as _json
from vmio.lab import panel as _panel
_name, _one = sorted(_panel._OPEN.items())[0]
_control = max(_one.controls.values(), key=lambda one: (len(one.values), one.name))
_widget = _one.widgets[_control.name]
_key = 'index' if hasattr(_widget, 'index') else 'value'
_wire = range(len(_control.values)) if _key == 'index' else _control.values
print(_json.dumps([_name, _control.name, _widget.model_id, _key, list(_wire), list(_control.values)]))
"""
SHOWN = "print(_json.dumps([_one.params, _one.text]))"


def tools():
    """The hub's Python and its proxy; without them the test is not run, and says so."""
    found = hub_tools.tools()
    if found is None:
        why = f"NOT RUN: no JupyterHub in {hub_tools.place()}; python tests/classroom/hub_tools.py installs it"
        if os.environ.get("CI"):
            pytest.fail(why)
        sys.stderr.write(f"\n{why}\n")
        pytest.skip(why)
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    found = tools()
    folder = tmp_path_factory.mktemp("hub")
    with hub_rig.hub(folder, found) as address:
        for name in CLASS:
            (folder / "homes" / name).mkdir()
        yield folder, address
    assert hub_rig.marked(folder / "homes") == []


@pytest.fixture(scope="module")
def students(server):
    """All of the class, logged in at the same moment."""
    folder, address = server
    found = {name: hub_rig.Student(address, name) for name in CLASS}
    together(found.values(), lambda one: (one.log_in(), one.wait_until_ready()), folder)
    return found


def together(ones, act, folder):
    """Call `act` for each at once; the first thing that goes wrong is raised with the hub's last lines."""
    wrong, start = [], threading.Barrier(len(ones))

    def go(one):
        try:
            start.wait()
            act(one)
        except Exception:  # noqa: BLE001  whatever a thread meets is the test's
            wrong.append(traceback.format_exc())
    threads = [threading.Thread(target=go, args=(one,)) for one in ones]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, "\n".join(wrong) + hub_rig.said(folder)


def digest(folder):
    """One word for all names and bytes under a folder."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if "__pycache__" not in path.parts and path.is_file():
            found.update(str(path).encode() + path.read_bytes())
    return found.hexdigest()


# The same panel in a process of its own, which has not asked for a processor yet: a line of JSON is [lesson, panel, params].
COUNTED = """
import json, sys
from vmio.lessons.panels import PANELS, make
for line in sys.stdin:
    lesson, panel, params = json.loads(line)
    found = [one for module, maker in PANELS if module.startswith(lesson + ".") if (one := make(module, maker)).name == panel]
    found[0].set(**params)
    print(json.dumps(found[0].text))
"""


def counted(asked):
    """What panels say with these settings, counted here; `asked` are (lesson, panel, params)."""
    done = subprocess.run([sys.executable, "-c", COUNTED], input="".join(json.dumps(one) + "\n" for one in asked), text=True, capture_output=True,
                          env={**os.environ, "VMIO_KVM": "none"})     # as on the hub
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_runs_a_lesson_and_moves_sliders_at_once(server, students):
    folder, _ = server
    before, shown = digest(folder / "opt" / "course"), {}

    def lesson(one):
        page, kernel = one.open(COURSE.notebook(CLASS[one.name]))
        cells = [cell for cell in page["cells"] if cell["cell_type"] == "code"]
        assert cells and not any(cell["outputs"] for cell in cells)
        for cell in cells:
            kernel.run("".join(cell["source"]))
        panel, control, widget, key, wire, values = json.loads(kernel.run(CONTROL))
        for at in [*range(len(wire)), *reversed(range(len(wire)))][:24]:
            kernel.move(widget, **{key: wire[at]})
        at = sorted(CLASS).index(one.name) % len(wire)
        kernel.move(widget, **{key: wire[at]})
        params, text = json.loads(kernel.run(SHOWN))
        assert params[control] == values[at]
        shown[one.name] = panel, params, text
        kernel.run(f"from vmio.lab import exercise, guess\nguess('first-guess', {100 + at})\n"
                   "_ex = exercise('count-the-exits')\n_done = _ex.check(_ex.load('solution'))\nassert _done, _done.text")
        page["cells"][0]["source"] = f"# The work of {one.name}"
        assert one.ask(f"contents/{COURSE.notebook(CLASS[one.name])}", {"type": "notebook", "format": "json", "content": page}, "PUT")[0] == 200
        kernel.close()
    together(students.values(), lesson, folder)
    assert sorted(shown) == sorted(CLASS)
    texts = counted([(CLASS[name], panel, params) for name, (panel, params, _) in shown.items()])
    assert {name: text for name, (*_, text) in shown.items()} == dict(zip(shown, texts))
    assert digest(folder / "opt" / "course") == before


def test_work_and_numbers_are_each_ones_own(server, students):
    folder, _ = server
    noted = [row for row in progress.of_class(folder / "homes").rows if row.exercise == "count-the-exits"]      # the test's hub has it on
    for at, name in enumerate(sorted(CLASS)):
        work = folder / "homes" / name / "vmio-work"
        assert sorted(path.name for path in work.glob("*.ipynb")) == sorted(path.name for path in data.NOTEBOOKS.glob("*.ipynb"))
        notebook = json.loads((work / COURSE.notebook(CLASS[name])).read_text(encoding="utf-8"))
        assert "".join(notebook["cells"][0]["source"]) == f"# The work of {name}"
        assert notebook["metadata"]["vmio_seed"] == seed.of(name) and notebook["metadata"]["vmio_student"] == name
        assert json.loads((work / ".guesses.json").read_text())["first-guess"] >= 100
        assert [row.outcome for row in noted if row.student == name] == ["pass"]
        other = sorted(CLASS)[at - 1]
        assert students[name].ask("contents", of=other)[0] in (403, 404)


def test_a_server_that_starts_again_overwrites_nothing(server, students):
    """After the culler, the next day: saved work, guesses and numbers are there, in a new kernel."""
    folder, _ = server
    one = students["ada"]
    work = folder / "homes" / "ada" / "vmio-work"
    before = {path.name: path.read_bytes() for path in work.iterdir() if path.is_file()}
    kernels = hub_rig.marked(folder / "homes")
    assert len(kernels) > len(CLASS)
    request = urllib.request.Request(f"{one.address}/hub/api/users/ada/server", method="DELETE",
                                             headers={"X-XSRFToken": one._xsrf(), "Referer": f"{one.address}/hub/home"})
    one.browser.open(request, timeout=60).close()
    for _ in range(300):
        if not one.hub_api("users/ada").get("servers"):
            break
        threading.Event().wait(0.1)
    hub_rig.Student.log_in(one)
    one.wait_until_ready()
    assert {path.name: path.read_bytes() for path in work.iterdir() if path.is_file()} == before
    kernel = one.open(COURSE.notebook("start_here"))[1]
    assert "guessed 10" in kernel.run("from vmio.lab import compare\nprint(compare('first-guess', 2089, 'exits'))")
    assert kernel.run("import os; print(os.environ['VMIO_SEED'])").strip() == str(seed.of("ada"))
    kernel.close()


def test_a_student_without_a_home_gets_a_sentence_and_no_server(server):
    folder, address = server
    one = hub_rig.Student(address, "nemo")
    page = one.log_in()
    wanted = f"The account nemo has no home folder ({folder / 'homes' / 'nemo'}). Nothing was started"
    for _ in range(100):
        if wanted in page:
            break
        try:
            page = one.browser.open(f"{address}/hub/spawn-pending/nemo", timeout=30).read().decode()
        except urllib.error.HTTPError as error:
            page = error.read().decode()
        threading.Event().wait(0.1)
    assert wanted in page and not Path(folder, "homes", "nemo").exists()


def test_the_culler_may_look_after_servers(server, students):
    """It asks the hub from its first minute on, and with rights of its own."""
    log = (server[0] / "hub.log").read_text(errors="replace")
    asked = [line for line in log.splitlines() if "(cull@127.0.0.1)" in line and "/hub/api/users" in line]
    assert asked and all(" 200 GET " in line for line in asked)
