"""vmio: I/O virtualization as running code.

Three ways for a guest to reach a device (`emulated`, `split`, `passthrough`)
over one machine, with every VM exit counted in one place.  The floors, from
the ground up: `machine`, `hypervisor`, `devices`, `drivers`, `workloads`,
`lab`.  An import never goes up.
"""

__version__ = "0.1.0"
