"""The prediction of *Run on real hardware* with a number of a student's own: one of those that were recorded."""

from vmio.lab.asked import Own
from vmio.lessons.run_on_real_hardware import panel
from vmio.processors.kvm import recorded


def _exits(length: int) -> int:
    return panel.counts("REP OUTSB", length)[0]


OWN = {"string-on-kvm": Own("REP OUTSB with {length} bytes is one exit on the model. How often does KVM come back to us?",
                            {"length": [length for length in recorded.COUNTS if length not in (1, panel.COUNT)]}, _exits)}
