"""The lab: everything a notebook shows.  The only floor that imports widgets, and matplotlib when something is printed.

    from vmio.lab import Panel, slider, choice, charts, table
"""

from vmio.lab import axes, charts, order, palette, printed
from vmio.lab.check import (Exercise, Outcome, Wrong, a_number, a_whole_number, attempted, counted, exercise, expect, expect_at_most,
                            one_of)
from vmio.lab.controls import choice, log2_slider, slider, toggle
from vmio.lab.cost import meter
from vmio.lab.difference import described
from vmio.lab.machine_view import MachineView, edge
from vmio.lab.panel import Panel
from vmio.lab.predict import compare, guess, predict
from vmio.lab.report import Report
from vmio.lab.ring_view import RingView
from vmio.seed import seeded, varied
from vmio.table import number, table

__all__ = [
    "Exercise", "MachineView", "Outcome", "Panel", "Report", "RingView", "Wrong",
    "a_number", "a_whole_number", "attempted", "axes", "charts", "choice", "compare", "counted", "described", "edge", "exercise", "expect", "expect_at_most",
    "guess", "log2_slider", "meter", "number", "one_of", "palette", "predict", "printed", "seeded", "slider", "table", "toggle",
    "varied",
]

order.install()
