"""Containers in utility guests, from power-on to the exit code of a process: what it says, what it costs, what is counted.

    started, = start(Job(["cat"], stdin=b"hello"))
    started.stdout, started.exit_code, started.exits, started.messages, started.bytes

Several jobs are as many utility guests on one machine, at the same time.  A job's `layers` are what its guest has beside the
scratch disk: attachments, with their media, and the settings by which the agent is told to mount each.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vmio.drivers.container.agent import Process, Program
from vmio.host.gcs.bridge import AgentRefused, BridgeClosed
from vmio.host.gcs.compute import UtilityVm
from vmio.hypervisor.contracts import Steps
from vmio.machine.contracts import Json, SectorStore
from vmio.machine.overlay import Overlay
from vmio.machine.storage import SECTOR, Image
from vmio.modes.attachments import Attachment
from vmio.modes.machine import Machine
from vmio.modes.utility import RAM_MIB, Mount, UtilityGuest
from vmio.table import table

SCRATCH_SECTORS = 2048          # of the scratch disk: 1 MiB, all zeros
LIMIT_NS = 60_000_000_000
PHASES = ("connected", "created", "running", "exited", "gone")     # the last steps of each, as the host sees them


def echo(process: Process) -> Steps[int]:
    """Write the arguments; a program for containers."""
    yield from process.stdout.send(" ".join(process.arguments[1:]).encode() + b"\n")
    return 0


def cat(process: Process) -> Steps[int]:
    """Write what comes in, as it comes."""
    while data := (yield from process.stdin.receive()):
        yield from process.stdout.send(data)
    return 0


def wc(process: Process) -> Steps[int]:
    """Count what comes in, to its end: bytes."""
    yield from process.stdout.send(b"%d\n" % len((yield from process.read_all())))
    return 0


def false(process: Process) -> Steps[int]:
    """Fail, and say so."""
    yield from process.stderr.send(b"false: this is what it does\n")
    return 1


PROGRAMS: Mapping[str, Program] = {"echo": echo, "cat": cat, "wc": wc, "false": false}


@dataclass(frozen=True)
class Layer:
    """One read-only layer of a container: how its guest reaches it, and what the agent is told (`ResourceType` and settings)."""

    attachment: Attachment
    medium: SectorStore | None = None
    resource: str = "VPMemDevice"
    settings: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A process to start: `arguments`, the first the name of a program, and its standard input.

    `config` is the container's; `programs` are what there is to run, `mount` (see `UtilityGuest.program`) uses the layers.
    """

    arguments: Sequence[str] = ("echo", "hello")
    stdin: bytes = b""
    programs: Mapping[str, Program] = field(default_factory=lambda: PROGRAMS)
    layers: Sequence[Layer] = ()
    mount: Mount | None = None
    config: Json = field(default_factory=dict)
    ram_mib: int = RAM_MIB


@dataclass(frozen=True)
class Started:
    """What came of one job.  `error` is "" or the sentence with which the host ended it; then the rest is as far as it came.

    `exits` are the guest's, by reason, boot and all; `exits_by_phase` {phase: so many}; `messages` of the bridge by name, `bridge_bytes` in
    both directions, `stdio_bytes` of the process's; `records` in all sockets' rings, `sockets` how many; `times` {phase: ns, when it was over}.
    """

    name: str
    stdout: bytes
    stderr: bytes
    exit_code: int | None
    how: str
    error: str
    exits: dict[str, int]
    exits_by_phase: dict[str, int]
    messages: dict[str, int]
    bridge_bytes: int
    stdio_bytes: int
    records: int
    sockets: int
    times: dict[str, int]

    @property
    def exits_total(self) -> int:
        """All exits of its guest."""
        return sum(self.exits.values())

    @property
    def bytes(self) -> int:
        """All bytes that went over sockets, the bridge's and the process's."""
        return self.bridge_bytes + self.stdio_bytes

    def to_dict(self) -> Json:
        """Return plain data for JSON; outputs as text."""
        return {**asdict(self), "stdout": self.stdout.decode("utf-8", "replace"), "stderr": self.stderr.decode("utf-8", "replace")}


def start(*jobs: Job, costs: str = "server-2022", cores: int = 2, prepare: Callable[[Machine], None] | None = None,
          **properties: Any) -> list[Started]:
    """Start a container for each job, all at once on one machine, run its process to its end, shut it down; returns a `Started` each.

    `prepare(machine)` is called before the machine is switched on.  `properties` are the machine's, as in `Machine`; its kind is
    "hyper-v-containers", whose guests' RAM gets pages at the first touch.
    """
    jobs = jobs or (Job(),)
    machine = Machine(costs=costs, cores=cores, **{"kind": "hyper-v-containers", **properties})
    blank = Image.open(bytes(SCRATCH_SECTORS * SECTOR))
    guests = [UtilityGuest(machine, f"c{n}", Overlay(blank), [(layer.attachment, layer.medium) for layer in job.layers], job.ram_mib)
              for n, job in enumerate(jobs)]
    if prepare is not None:
        prepare(machine)
    machine.power_on()
    starts = [_Start(guest, job) for guest, job in zip(guests, jobs)]
    for each in starts:
        machine.host.process(each.guest.planned.guest, each.steps())
    machine.run(*((guest.planned, guest.program(job.programs, job.mount)) for guest, job in zip(guests, jobs)), limit_ns=LIMIT_NS)
    return [each.result() for each in starts]


class _Start:
    """One job under way."""

    def __init__(self, guest: UtilityGuest, job: Job) -> None:
        self.guest, self.job, self.vm = guest, job, UtilityVm(guest.planned.host, guest.sockets.service)
        self.process: Any = None
        self.code: int | None = None
        self.how = self.error = ""
        self.times: dict[str, int] = {}
        self.exits: dict[str, int] = {}

    def steps(self) -> Steps[None]:
        """What the host does."""
        vm, job = self.vm, self.job
        try:
            yield from vm.bring_up()
            self._over("connected")
            for layer in job.layers:
                yield from vm.modify(layer.resource, layer.settings)
            box = yield from vm.container(self.guest.planned.guest.name, job.config)
            self._over("created")
            self.process = yield from vm.execute(box, job.arguments, job.stdin)
            self._over("running")
            self.code = yield from vm.wait(self.process)
            self._over("exited")
            self.how = yield from vm.shut_down(box)
            self._over("gone")
        except (AgentRefused, BridgeClosed) as error:
            self.error = str(error)
        vm.leave()

    def _over(self, phase: str) -> None:
        self.times[phase] = self.guest.planned.host.env.now
        self.exits[phase] = self._total - sum(self.exits.values())

    @property
    def _total(self) -> int:
        return sum(self.guest.planned.cpu.exits.by_reason().values())

    def result(self) -> Started:
        """Return it."""
        service, bridge, process = self.guest.sockets.service, self.vm.bridge, self.process
        return Started(
            name=self.guest.planned.guest.name, stdout=process.stdout if process else b"", stderr=process.stderr if process else b"",
            exit_code=self.code, how=self.how, error=self.error, exits=dict(self.guest.planned.cpu.exits.by_reason()),
            exits_by_phase=self.exits, messages=dict(bridge.messages if bridge else Counter()),
            bridge_bytes=bridge.sent + bridge.received if bridge else 0, stdio_bytes=process.stdio.bytes if process else 0,
            records=service.records, sockets=service.made, times=self.times)


def to_text(started: Sequence[Started]) -> str:
    """Return one row a container."""
    rows = [(one.name, one.stdout.decode("utf-8", "replace").strip()[:24] or one.error[:40], one.exit_code, one.exits_total,
             sum(one.messages.values()), one.bytes, one.records, one.times.get("gone", 0) / 1000) for one in started]
    return table(rows, ("container", "output", "exit code", "exits", "messages", "bytes", "records", "us"))
