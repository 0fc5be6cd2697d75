"""vmio: I/O virtualization as running code.

Three ways for a guest to reach a device (`emulated`, `split`, `passthrough`)
over one machine, with every VM exit counted in one place.  The package has
floors, from `machine` up to `lessons`, and an import never goes up; README lists
them, docs/architecture.md shows the way of one read.
"""

__version__ = "0.1.0"
