"""What a student costs a class's server: memory of a server and of a kernel after each lesson, slider moves a core-second through a real kernel.

Run All of each lesson in a kernel of its own, then moves of all its controls in a seeded order, one message each, as the page sends
them.  How many students a machine carries follows by arithmetic (`students`); docs/doors.md has the table.  Linux only: memory
and computing time are read from /proc (proc(5): smaps_rollup, stat).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import floor
from pathlib import Path
from random import Random
from typing import Any

from vmio import data
from vmio.bench import Row, row

MOVES = 60
PER_STUDENT = 2.0       # moves a second of somebody who drags
BUSY = 0.8              # of the cores; above that everybody waits for everybody
SYSTEM_MIB = 1024       # the system, hub and proxy (103 to 108 and 30 to 66 MiB were measured for these two)
BESIDE_MS = 6.0         # of computing for each move in the student's server, hub and proxy: 3.5 to 6.5 were measured
MACHINES = ((2, 4), (4, 8), (8, 16), (16, 32), (32, 64))    # cores, GiB
HUB = (("jupyterhub.singleuser", "a student's server"), ("configurable-http-proxy", "the proxy"), ("jupyterhub", "the hub"))
LIMIT_S = 120           # for one cell
CONTROLS = """
import json as _json
from vmio.lab import panel as _panel
_found = []
for _name, _one in sorted(_panel._OPEN.items()):
    for _control in _one.controls.values():
        _widget = _one.widgets[_control.name]
        _key = 'index' if hasattr(_widget, 'index') else 'value'
        _found.append([_widget.model_id, _key, list(range(len(_control.values)) if _key == 'index' else _control.values)])
print(_json.dumps(_found))
"""


def measure() -> list[Row]:
    """Measure all lessons; no rows without /proc, the lab's packages or a checkout's notebooks."""
    try:
        import jupyter_client  # noqa: F401
        import jupyterlab  # noqa: F401
        if not Path("/proc/self/smaps_rollup").exists():
            raise FileNotFoundError("no /proc/self/smaps_rollup here")
        notebooks = sorted(data.checkout("notebooks").glob("[0-9]*.ipynb"))
    except (FileNotFoundError, ModuleNotFoundError) as missing:
        print(f"classroom: {missing}, so it was not measured", file=sys.stderr)
        return []
    servers = _hub_mib() or {"a student's server, idle, MiB": [_server_mib()]}
    server = max(servers["a student's server, idle, MiB"])
    rows, kernels, moves = [row(what, taken) for what, taken in servers.items()], [], []
    for notebook in notebooks:
        lesson = _lesson(notebook)
        rows += [row(f"{notebook.stem}: {what}", [value]) for what, value in lesson.items()]
        kernels.append(lesson["kernel after Run All, MiB"])
        if "moves a core-second" in lesson:
            moves.append(lesson["moves a core-second"])
    for cores, gib in MACHINES:
        for what, most in students(cores, gib, server, max(kernels), min(moves), max(moves)).items():
            rows.append(row(f"students on {cores} cores, {gib} GiB: {what}", [most]))
    return rows


def students(cores: int, gib: int, server_mib: float, kernel_mib: float, slow: float, fast: float) -> dict[str, int]:
    """Return how many students a machine carries: by memory, one lesson open each, and by cores if all drag sliders at once.

    `kernel_mib` is the largest kernel, `slow` and `fast` are moves a core-second in the dearest and in the cheapest lesson.
    """
    def dragging(moves: float) -> int:
        return floor(cores * BUSY / (PER_STUDENT * (1 / moves + BESIDE_MS / 1000)))
    return {"memory allows": floor((gib * 1024 - SYSTEM_MIB) / (server_mib + kernel_mib)),
            "all drag at once, the dearest lesson": dragging(slow), "all drag at once, the cheapest lesson": dragging(fast)}


def own_mib(process: int) -> float:
    """Return the memory that belongs to no file, in MiB: pages of programs and libraries are there once for a whole class."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


def cpu_s(process: int) -> float:
    """Return the computing time of all threads of a process so far, in s."""
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def _environment(folder: str) -> dict[str, str]:
    """The environment of a student's server: this package, settings of its own."""
    return {**os.environ, "PYTHONPATH": str(data.checkout("")), "VMIO_STRICT": "0", "VMIO_KVM": "none",
            **{f"JUPYTER_{name}_DIR": f"{folder}/{name}" for name in ("CONFIG", "DATA", "RUNTIME")}, "IPYTHONDIR": f"{folder}/ipython"}


def _hub_mib() -> dict[str, list[float]]:
    """MiB of a hub, its proxy and four students' servers, all idle; empty where the hub's tools are not installed."""
    sys.path.insert(0, str(data.checkout("tests/classroom")))
    import hub_rig
    import hub_tools
    tools = hub_tools.tools()
    if tools is None:
        print(f"classroom: no JupyterHub in {hub_tools.place()} (python tests/classroom/hub_tools.py), so JupyterLab's own server was measured",
              file=sys.stderr)
        return {}
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, hub_rig.hub(Path(folder), tools) as address:
        for name in ("ada", "ben", "cem", "dia"):
            (Path(folder) / "homes" / name).mkdir()
            student = hub_rig.Student(address, name)
            student.log_in()
            student.wait_until_ready()
        for process in hub_rig.marked(Path(folder) / "homes"):
            command = Path(f"/proc/{process}/cmdline").read_text().split("\0")
            what = next((what for word, what in HUB if word in command or any(part.endswith(word) for part in command)), None)
            if what is not None:
                found.setdefault(f"{what}, idle, MiB", []).append(own_mib(process))
    return found


def _server_mib() -> float:
    """MiB of JupyterLab's server that nobody uses yet."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0",
             f"--ServerApp.root_dir={folder}"], env=_environment(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if "http://127.0.0.1" in line:
                    break
            before, now = 0.0, own_mib(process.pid)
            while now != before:
                time.sleep(0.5)
                before, now = now, own_mib(process.pid)
            return now
        finally:
            process.terminate()
            process.stderr.close()
            process.wait()


@contextmanager
def _kernel() -> Iterator[tuple[Any, int]]:
    """(a client, the process) of a new kernel."""
    from jupyter_client.manager import KernelManager
    with tempfile.TemporaryDirectory() as folder:
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel(env=_environment(folder), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client = manager.blocking_client()
        try:
            client.start_channels()
            client.wait_for_ready(timeout=LIMIT_S)
            yield client, getattr(manager.provisioner, "pid")  # noqa: B009 - of a local process; other provisioners have none
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def _run(client: Any, code: str) -> str:
    """What a cell prints; RuntimeError with the error's name if it has one."""
    printed = []

    def heard(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])
    reply = client.execute_interactive(code, output_hook=heard, timeout=LIMIT_S)
    if reply["content"]["status"] != "ok":
        raise RuntimeError(f"{reply['content'].get('ename')}: {reply['content'].get('evalue')}")
    return "".join(printed)


def _move(client: Any, widget: str, key: str, value: object) -> None:
    """Move a control in one message, and wait until the kernel is idle."""
    message = client.session.msg("comm_msg", {"comm_id": widget, "data": {"method": "update", "state": {key: value}, "buffer_paths": []}})
    client.shell_channel.send(message)
    while True:
        told = client.get_iopub_msg(timeout=LIMIT_S)
        if told["parent_header"].get("msg_id") == message["header"]["msg_id"] and told["content"].get("execution_state") == "idle":
            return


def _lesson(notebook: Path) -> dict[str, float]:
    """Memory and computing time of one lesson, and what its controls cost."""
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    with _kernel() as (client, process):
        before = cpu_s(process)
        for cell in cells:
            _run(client, "".join(cell["source"]))
        found = {"Run All, CPU s": cpu_s(process) - before, "kernel after Run All, MiB": own_mib(process)}
        controls = json.loads(_run(client, CONTROLS))
        if not controls:
            return found
        choose, before = Random(0), cpu_s(process)
        for _ in range(MOVES):
            widget, key, values = choose.choice(controls)
            _move(client, widget, key, choose.choice(values))
        spent = cpu_s(process) - before
        return {**found, "kernel after the moves, MiB": own_mib(process), "moves a core-second": MOVES / spent}
