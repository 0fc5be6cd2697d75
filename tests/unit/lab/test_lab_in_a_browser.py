"""What a browser's Python lacks - numpy, matplotlib, fork - no lesson needs; what does need it says so."""

import os
import subprocess
import sys
from pathlib import Path

from tests.disk_files import fixed_vhd

ROOT = Path(__file__).resolve().parents[3]
LACKS = "import sys\nfor name in ('numpy', 'matplotlib', 'unicorn', 'resource'): sys.modules[name] = None\n"


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_panel_opens_without_them():
    shown = python(LACKS + "from vmio.lessons.panels import PANELS, make\n"
                           "print(sum(make(*one).so_far[0] != '' for one in PANELS), len(PANELS))")
    assert len(set(shown.split())) == 1


def test_a_paper_figure_says_what_it_needs():
    said = python(LACKS + "from vmio.lab import charts, printed\n"
                          "try: printed.svg(charts.bars('x', {'a': 1}, 'exits'))\n"
                          "except ModuleNotFoundError as error: print(error)")
    assert said.startswith("a figure on paper is drawn by matplotlib") and "import matplotlib" in said


def test_a_virtual_disk_says_what_it_needs(tmp_path):
    path = tmp_path / "disk.vhd"
    path.write_bytes(fixed_vhd(bytes(4096)))
    said = python(LACKS + f"from vmio import Image\ntry: Image.open({str(path)!r})\nexcept ValueError as error: print(error)")
    assert said.endswith("a VHD file is read with numpy, which is not installed")


def test_pyodides_fork_is_a_name_alone():
    assert python("import sys; sys.platform = 'emscripten'\nfrom vmio.lab import apart; print(apart.CAN_FORK)") == "False"
