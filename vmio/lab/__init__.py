"""The lab: everything a notebook shows.  The only floor that imports widgets and matplotlib.

    from vmio.lab import Panel, slider, choice, CountBars, table
"""

from vmio.lab.check import Exercise, Outcome, Wrong, exercise, expect, expect_at_most
from vmio.lab.controls import choice, log2_slider, slider, toggle
from vmio.lab.figures import CountBars, Curves, GroupedBars, StackedBars
from vmio.lab.machine_view import MachineView, edge
from vmio.lab.panel import Panel
from vmio.lab.predict import compare, guess, predict
from vmio.lab.ring_view import RingView
from vmio.table import number, table

__all__ = [
    "CountBars", "Curves", "Exercise", "GroupedBars", "MachineView", "Outcome", "Panel", "RingView", "StackedBars", "Wrong",
    "choice", "compare", "edge", "exercise", "expect", "expect_at_most", "guess", "log2_slider", "number", "predict",
    "slider", "table", "toggle",
]
