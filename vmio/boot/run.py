"""From power-on to the end, whatever ends it."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from vmio.boot import machine as pc
from vmio.boot.console import Console
from vmio.boot.params import BootParams, checked
from vmio.boot.result import POWER_OFF, RESET, UNTIL, BootResult, Phase, Row, counted, difference
from vmio.boot.watchdog import watching
from vmio.firmware.bzimage import BzImage
from vmio.host.net.port import SwitchPort
from vmio.host.net.switch import VirtualSwitch
from vmio.hypervisor.faults import GuestFault
from vmio.machine.checkpoint import CheckpointRefused, State
from vmio.machine.clock import Timer, Timers
from vmio.machine.contracts import Buffer
from vmio.machine.media.medium import Medium
from vmio.machine.probes import watch
from vmio.modes.memory_split import SplitMemory
from vmio.processors.unicorn import package
from vmio.processors.unicorn.vcpu import End, Stopped
from vmio.vmbus.balloon.dynamic import DynamicMemory
from vmio.vmbus.balloon.wire import LARGE

Mark: TypeAlias = tuple[str, int, list[Row]]     # the name of a phase, when it began, and the exits until then
PANIC, VIRTUAL, FAULT = "panic", "virtual timeout", "fault"
POWER_ON = "power-on"
SHUTDOWN = "shutdown"
ASK_AGAIN_NS = 100_000_000      # until a guest has loaded its half of the shutdown service
MIB_PAGES = 256


class Boot:
    """A guest on its way from power-on to its end; `guest` is its machine, `console` what it says.

    `sink(byte)` gets the console as it comes; `answers` are (prompt, text) pairs that are typed.
    ValueError, one sentence, for what can't be booted.

    With `keep` the machine is saved when the console has shown `until`, or as soon afterwards as it can be: that is its end, and
    `kept` is its state (`vmio/boot/checkpoint.py`).  `refused` says why not, as long as it isn't.
    """

    def __init__(self, params: BootParams, kernel: Buffer, initrd: Buffer = b"", medium: Medium | None = None,
                 sink: Callable[[int], None] | None = None, answers: Sequence[tuple[str, str]] = (), name: str = "kernel",
                 keep: Callable[["Boot"], State] | None = None) -> None:
        params = checked(params)
        image = BzImage(kernel, name)
        package.check()
        console = Console(params.until, params.mark, sink)
        self._have(params, image.version, pc.machine(params, image, initrd, medium, console), console, medium, [(POWER_ON, 0, [])], keep)
        console.answer(answers, self.guest.board)
        if params.shutdown is not None:
            self._ask(params.shutdown * 1_000_000)

    @classmethod
    def of(cls, params: BootParams, kernel: str, guest: Any, console: Console, medium: Medium | None, marks: list[Mark],
           keep: Callable[["Boot"], State] | None = None, asking: Timer | None = None) -> "Boot":
        """Return the boot of a machine that is there already; `asking` is when it will be asked to shut down."""
        boot = cls.__new__(cls)
        boot._have(params, kernel, guest, console, medium, marks, keep)
        boot.asking = asking
        if asking is not None:
            asking.callback = boot.shut_down
        return boot

    def _have(self, params: BootParams, kernel: str, guest: Any, console: Console, medium: Medium | None, marks: list[Mark],
              keep: Callable[["Boot"], State] | None) -> None:
        if keep is not None and not params.until:
            raise ValueError("checkpoint: at which text? the machine is kept when its console has shown `until`")
        self.params, self.kernel, self.guest, self.console, self.medium, self.marks = params, kernel, guest, console, medium, marks
        self.cpu: Any = guest.cpu
        self.kept: State | None = None
        self.refused = ""
        self._keep = keep
        self._limit: Any = None
        self.asking: Timer | None = None
        self._ends()

    @property
    def network(self) -> VirtualSwitch | None:
        """The switch that its network card is plugged into, whose ports are "guest" and "peer"; None without a card."""
        return next((backend.switch for backend in self.guest.backends if isinstance(backend, SwitchPort)), None)

    @property
    def media(self) -> dict[str, Any]:
        """{mode: its `Overlay`}: what the guest has written to each of its disks is there."""
        return dict(zip(self.params.modes, self.guest.media[1:]))

    def _ends(self) -> None:
        """What ends it, besides its processor."""
        cpu, params, board = self.cpu, self.params, self.guest.board
        watch(self.console, "found", self._found)
        watch(cpu, "paused", self._paused)
        watch(self.console, "marked", lambda name: self.marks.append((name, cpu.now, counted(cpu.exits))))
        watch(self.console, "panicked", lambda text: cpu.end(End(PANIC, text)))
        watch(board.power, "off", lambda: cpu.end(End(POWER_OFF, "the guest has switched itself off")))
        watch(board, "resetting", lambda: cpu.end(self._reset()))
        if params.balloon:
            watch(self.memory, "ready", self._take_memory)
        if params.virtual_timeout is not None:
            self._limit = self.guest.guest.clock.call_later(params.virtual_timeout * 1_000_000, self._too_late)

    def _found(self) -> None:
        if self._keep is None:
            self.cpu.end(End(UNTIL, f"the console has shown {self.params.until!r}"))
        elif self.kept is None:
            self.cpu.pause()

    def _paused(self) -> None:
        """The processor stands still behind the text, or its next sleep: save the machine, unless a part of it can't be saved now."""
        if self._keep is None:
            return
        limit, self._limit = self._limit, None
        if limit is not None:
            limit.cancel()               # it is of this run
        try:
            self.kept = self._keep(self)
        except CheckpointRefused as refused:
            self.refused = str(refused)
            if limit is not None:
                self._limit = self.guest.guest.clock.call_at(limit.when, self._too_late)
            self.cpu.pause(later=True)
        else:
            self.refused = ""
            self.cpu.end(End(UNTIL, f"the console has shown {self.params.until!r}, and the machine is kept"))

    @property
    def services(self) -> Any:
        """The integration services (`SplitServices`); None without them."""
        return self.guest.attachments[-1] if self.params.services else None

    @property
    def memory(self) -> DynamicMemory | None:
        """The host's half of its dynamic memory (`DynamicMemory`); None without it."""
        return next((each.memory for each in self.guest.attachments if isinstance(each, SplitMemory)), None)

    def _take_memory(self) -> None:
        """Ask for as much as was said, or all that there is, as the guest's driver is up."""
        if self.memory is not None and self.params.balloon:
            self.memory.inflate(min(self.params.balloon * MIB_PAGES, self.memory.assigned // LARGE * LARGE))

    def shut_down(self) -> None:
        """Ask the guest to shut down; again, a moment later, while its half of the service is not up."""
        self.asking = None
        if not self.services.shutdown.off():
            self._ask(ASK_AGAIN_NS)

    def _ask(self, after_ns: int) -> None:
        self.asking = self.guest.guest.clock.call_later(after_ns, self.shut_down)

    @property
    def timers(self) -> Timers:
        """What it has on the guest's clock and a checkpoint has, as (name, timer) pairs."""
        return [(SHUTDOWN, self.asking)]

    def _reset(self) -> End:
        return End(PANIC, self.console.panic) if self.console.panic else End(RESET, "the guest has reset the machine")

    def _too_late(self) -> None:
        raise Stopped(End(VIRTUAL, f"it still ran after {self.params.virtual_timeout:,} ms of virtual time"))

    def run(self) -> BootResult:
        """Run it to its end."""
        try:
            with watching(self.cpu, self.params.timeout):
                end, = self.guest.host.run((self.cpu, self.cpu.run))
        except GuestFault as fault:
            end = End(FAULT, str(fault))
        if self.console.panic:
            end = End(PANIC, self.console.panic)
        return self._result(end)

    def _result(self, end: End) -> BootResult:
        cpu, rows = self.cpu, counted(self.cpu.exits)
        marks = [*self.marks, ("", cpu.now, rows)]
        phases = [Phase(name, at, later - at, difference(after, before))
                  for (name, at, before), (_, later, after) in zip(marks, marks[1:])]
        return BootResult(end, self.params.until, bytes(self.console.data), self.console.text, self.console.last_lines(), cpu.now, rows, phases,
                          dict(cpu.delivery.delivered), pc.line(self.params), self.kernel)


def boot(params: BootParams, kernel: Buffer, initrd: Buffer = b"", medium: Medium | None = None, **options: Any) -> BootResult:
    """Boot `kernel` (the bytes of a bzImage) with `initrd`, its disks over `medium`, to the end; see `Boot`."""
    return Boot(params, kernel, initrd, medium, **options).run()
