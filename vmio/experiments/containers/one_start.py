"""One container in a utility guest whose base layer is mapped, from power-on to the exit code of a process that reads a file of it.

    started = one_start.run()
    started.stdout, started.messages, started.exits_by_phase
"""

from functools import cache
from typing import Any

from vmio.drivers.container.agent import Process
from vmio.experiments.containers.density import base
from vmio.experiments.containers.hostile import FILE
from vmio.experiments.utility_guest import Job, Layer, Started, start
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Json
from vmio.machine.memory import PAGE
from vmio.modes.layer_vpmem import MappedLayer, VPmemLayer

SETTINGS: Json = {"DeviceNumber": 0, "MountPath": "/run/layers/p0"}      # hcsshim internal/protocol/guestresource, LCOWMappedVPMemDevice
RAM_MIB = 16


@cache
def run() -> Started:
    """Return what was said, and what it cost, to start `head Apache-2.0` in a container."""
    mounted: list[MappedLayer] = []

    def mount(resource: str, settings: Json, cpu: VCpu, disk: Any, layer: MappedLayer) -> Steps[None]:
        mounted.append(layer)
        return
        yield

    def head(process: Process) -> Steps[int]:
        text = mounted[0].read(FILE * PAGE, PAGE)
        yield from process.stdout.send(b"\n".join(line.strip() for line in text.split(b"\n")[1:3]) + b"\n")
        return 0
    job = Job(("head", "Apache-2.0"), programs={"head": head}, layers=[Layer(VPmemLayer(), base(), settings=SETTINGS)], mount=mount, ram_mib=RAM_MIB)
    (started,) = start(job)
    return started
