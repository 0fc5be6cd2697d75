"""One read on its way from a guest's driver to the hardware and back, each structure as it lies in memory.

The machine is the one of `disk.run` in split mode, with one request.  What is shown is
copied out of guest memory, rings and queues at the moment it happens, and drawn
from the declarations that the drivers pack it with.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from vmio.experiments.disk_run import DiskRun, needed
from vmio.experiments.pattern import pattern
from vmio.experiments.ring_log import Ticking
from vmio.experiments.trace import Request
from vmio.hardware.nvme.wire import COMPLETION, READ_WRITE
from vmio.host.physical import PhysicalDisk
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Sectors
from vmio.machine.layout import Layout
from vmio.machine.media.medium import Medium
from vmio.machine.overlay import Overlay
from vmio.machine.probes import watch
from vmio.machine.window import Window
from vmio.modes import Machine
from vmio.modes.disk_split import SplitDisk
from vmio.vmbus.bus.packets import DESCRIPTOR, GPA_HEADER, GPA_RANGE, TRAILER
from vmio.vmbus.bus.ring import READ, WRITE
from vmio.vmbus.storage import vstor
from vmio.vmbus.storage.scsi_wire import CDB10, READ10

NVME_READ, CDB_READ10 = READ_WRITE.titled("NVME_READ"), CDB10.titled("CDB_READ10")


class Step(NamedTuple):
    """`ns` since the request began (virtual time), who did `what`, and the bytes with their drawing."""

    ns: int
    who: str
    what: str
    structures: tuple = ()   # (Layout, bytes)

    def draw(self) -> str:
        """Return the structures, one under the other."""
        return "\n\n".join(layout.draw(data) for layout, data in self.structures)


class Crossing(NamedTuple):
    """`steps` in order of time, `exits` of the request and of the bring-up before it ({instruction: n})."""

    steps: list
    exits: dict
    setup_exits: dict
    data: Sectors


def cross(lba: int = 2, sectors: int = 8, image: Medium | None = None, costs: str | CostModel = "server-2022") -> Crossing:
    """Read `sectors` (1 to 256) at `lba` of `image` (else a `pattern` of 1 MiB) through a split driver; a `Crossing`."""
    if not 1 <= sectors <= 256:
        raise ValueError(f"sectors {sectors}: 1 to 256")
    requests, disk, medium = [Request("R", lba, sectors)], SplitDisk(), Overlay(pattern(1) if image is None else image)
    room = needed(disk, requests, 1)
    machine = Machine(costs)
    guest = machine.guest(ram_mib=room[2])
    physical = PhysicalDisk(machine.host, [medium])
    guest.attach(disk, medium, physical.slices[0])
    machine.power_on()
    run = _WatchedRun(guest, requests, room)
    watch = run.watch = _Watch(run, physical)
    machine.host.run((run.cpu, run.program))
    begin = watch.steps[0].ns
    steps = sorted((step._replace(ns=step.ns - begin) for step in watch.steps), key=lambda step: step.ns)
    return Crossing(steps, run.counted(lambda row: row.instruction), run.mark.before(lambda row: row.instruction), medium.read(lba, sectors))


class _WatchedRun(DiskRun):
    """The guest; set-up over, the watch begins."""

    watch: "_Watch"

    def serve(self, cpu: VCpu) -> Steps[None]:
        """The one request."""
        self.watch.begin()
        yield from super().serve(cpu)


class _Watch:
    """Looks over the shoulders of all four: the rings, the signals, the controller."""

    def __init__(self, run: Any, physical: PhysicalDisk) -> None:
        self.run, self.physical = run, physical
        self.steps: list[Step] = []
        self.env = run.cpu.env

    def note(self, ns: int, who: str, what: str, *structures: tuple[Layout, bytes]) -> None:
        """One more step."""
        self.steps.append(Step(ns, who, what, structures))

    def begin(self) -> None:
        """Look from now on."""
        run, cpu, env, controller = self.run, self.run.cpu, self.env, self.physical.controller
        guest, host = run.disk.end, run.attachment.vsp.worker.end
        for end, noted, clock, who, what in (
                (guest.outgoing, self._published, cpu, "guest", "StorVSC writes a request"),
                (host.outgoing, self._published, env, "host", "StorVSP writes the completion"),
                (host.incoming, self._taken, env, "host", "StorVSP has taken the request"),
                (guest.incoming, self._taken, cpu, "guest", "StorVSC has taken the completion")):
            watch(end, "moved", noted(end.memory, clock, who, what))
        watch(guest, "signals", lambda: self.note(cpu.now, "guest", "HvCallSignalEvent: the doorbell, a VM exit"))
        watch(guest, "hears", lambda: self.note(
            cpu.now, "guest", "interrupt on SINT2: the event flag of the channel is set"))
        watch(controller, "begun", lambda command: self.note(
            env.now, "host", "the host's NVMe driver rings the controller's doorbell", (NVME_READ, command)))
        watch(controller, "answered", lambda answer: self.note(
            env.now, "device", "the controller has moved the data and completes", (COMPLETION, answer)))

    def _published(self, memory: Window, clock: Ticking, who: str, what: str) -> Callable[[int], None]:
        return self._moved(WRITE, memory, clock, who, what, lambda last, at: _record(
            _ring_bytes(memory, last, (at - last) % memory.size)))

    def _taken(self, memory: Window, clock: Ticking, who: str, what: str) -> Callable[[int], None]:
        return self._moved(READ, memory, clock, who, what, lambda last, at: ())

    def _moved(self, index: int, memory: Window, clock: Ticking, who: str, what: str,
               structures: Callable[[int, int], Sequence]) -> Callable[[int], None]:
        """Return a listener that notes a step whenever an index of the ring is another than before."""
        last = memory.load32(index)

        def moved(_used: int) -> None:
            nonlocal last
            at = memory.load32(index)
            if at != last:
                self.note(clock.now, who, what, *structures(last, at))
                last = at
        return moved


def _ring_bytes(memory: Window, start: int, length: int) -> bytes:
    """`length` bytes of a ring's data from index `start`, around its end."""
    first = min(length, memory.size - start)
    data = memory.read(4096 + start, first)
    return data + memory.read(4096, length - first) if first < length else data


def _record(raw_bytes: bytes) -> list[tuple[Layout, bytes]]:
    """A record taken apart: (Layout, bytes) for each structure in it."""
    descriptor = DESCRIPTOR.parse(raw_bytes)
    payload_at, end = descriptor.offset8 * 8, descriptor.length8 * 8
    parts = [(DESCRIPTOR, raw_bytes[:DESCRIPTOR.size])]
    if payload_at > DESCRIPTOR.size:
        parts.append((GPA_HEADER, raw_bytes[DESCRIPTOR.size:DESCRIPTOR.size + GPA_HEADER.size]))
        parts.append((GPA_RANGE, raw_bytes[DESCRIPTOR.size + GPA_HEADER.size:payload_at]))
    payload = raw_bytes[payload_at:end]
    parts.append((vstor.SRB, payload))
    srb = vstor.SRB.parse(payload)
    if srb.cdb[0] == READ10:
        parts.append((CDB_READ10, srb.cdb[:CDB10.size]))
    parts.append((TRAILER, raw_bytes[end:end + 8]))
    return parts
