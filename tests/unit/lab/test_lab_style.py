"""Pictures are the same bytes whatever a user's matplotlibrc says, and what it says holds for the user's own figures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ipywidgets")

from vmio.lab import charts, printed, style
from vmio.lab.plotting import matplotlib
from vmio.lessons.course import COURSE

ROOT = Path(__file__).parents[3]
DRAW = """
import hashlib
from vmio.lab.plotting import matplotlib
users = dict.copy(matplotlib.rcParams)
from vmio.lab import axes, charts, printed
from vmio.lessons.fill_a_ring.panel import load_panel
from vmio.lessons.check_the_model.panel import ratio_panel
xs, ys = axes.log("x", (), (1, 2, 4, 8)), axes.log("y", (50, 400))
pictures = [printed.svg(chart) for chart in (
    charts.stack("$t$", {"emulated": {"guest": 5, "exit": 900}, "split": {"guest": 5, "exit": 9}}, "us"),
    charts.bars("t", {"PIO": 123456, "HLT": 0}, "exits", log=True),
    charts.lines("t", {"emulated": ([1, 2, 4, 8], [400.0, 200.0, 100.0, 50.0])}, xs, ys, at=4),
    *load_panel().charts, *ratio_panel().charts)]
assert all("<svg" in picture for picture in pictures)
assert all(matplotlib.rcParams._get(name) is value for name, value in users.items()), "the user's settings are back"
print(dict.get(matplotlib.rcParams, "text.usetex"), hashlib.sha256(repr(pictures).encode()).hexdigest())
"""
PAPER = """\
backend: TkAgg
text.usetex: True
font.size: 30
font.family: serif
axes.prop_cycle: cycler(color=['r', 'g'])
axes.grid: True
axes.formatter.use_mathtext: True
axes.xmargin: .3
axes.facecolor: black
axes.autolimit_mode: round_numbers
savefig.bbox: tight
savefig.dpi: 600
svg.fonttype: path
svg.hashsalt: mine
svg.id: paper
figure.dpi: 300
figure.autolayout: True
figure.constrained_layout.use: True
path.sketch: 1, 100, 2
path.simplify: False
lines.linewidth: 9
lines.markersize: 20
lines.dashed_pattern: 1, 1
patch.force_edgecolor: True
xtick.top: True
xtick.direction: in
xtick.minor.visible: True
text.color: yellow
"""
OLD = "text.usetex: True\nexamples.directory: x\ntext.hinting_factor: 4\nbackend: Nope\naxes.prop_cycle: cycler(1)\n"
CASES = {"latex": b"text.usetex: True\n", "paper": PAPER.encode(), "another version's keys": OLD.encode(),
         "not UTF-8": "# Schriftgröße\ntext.usetex: True\n".encode("latin-1")}


def drawn(rc, folder, **environment):
    """What DRAW prints in a Python of its own with `rc` (bytes) as its matplotlibrc; nothing may come on standard error."""
    file = folder / "matplotlibrc"
    file.write_bytes(rc)
    done = subprocess.run([sys.executable, "-c", DRAW], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, "MATPLOTLIBRC": str(file), "VMIO_STRICT": "1", **environment})
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return drawn(b"", tmp_path_factory.mktemp("plain"))[1]


@pytest.mark.parametrize("case", CASES)
def test_same_bytes_with_any_matplotlibrc(case, plain, tmp_path):
    usetex, pictures = drawn(CASES[case], tmp_path)
    assert pictures == plain
    assert usetex == str(case != "not UTF-8"), "the user's own figures have what the file says, if it can be read"


def test_same_bytes_with_another_backend_and_no_folder_for_settings(plain, tmp_path):
    assert drawn(b"", tmp_path, MPLBACKEND="TkAgg", MPLCONFIGDIR=str(tmp_path / "matplotlibrc" / "none"))[1] == plain


def test_what_a_cell_sets_between_two_pictures_changes_nothing():
    chart = charts.bars("t", {"PIO": 5}, "exits")
    first = printed.svg(chart)
    with matplotlib.rc_context({"text.usetex": True, "font.size": 30, "axes.grid": True, "svg.fonttype": "path"}):
        users = dict.copy(matplotlib.rcParams)
        assert printed.svg(charts.bars("t", {"HLT": 1}, "exits")) != first
        assert printed.svg(chart) == first
        assert {name for name, value in users.items() if matplotlib.rcParams._get(name) is not value} == set()


def test_the_users_settings_are_back_after_an_error():
    with matplotlib.rc_context({"text.usetex": True}):
        with pytest.raises(ZeroDivisionError), style.look():
            assert matplotlib.rcParams["text.usetex"] is False
            1 / 0
        assert matplotlib.rcParams["text.usetex"] is True


def test_the_first_lesson_runs_strictly_with_a_users_matplotlibrc(tmp_path):
    (tmp_path / "matplotlibrc").write_text(PAPER + OLD, encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider",
                           f"notebooks/{COURSE.notebook('start_here')}"], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, "MATPLOTLIBRC": str(tmp_path)})
    assert done.returncode == 0, done.stdout[-2000:]
