"""The guest's half of the accelerator as a service: it names its memory once, then hands over command buffers, one signal each."""

from vmio.drivers.accelerator import MEMORY, RING_BYTES, AcceleratorDriver, Halted
from vmio.drivers.accelerator_plan import Network, Plan
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.pages import PAGE
from vmio.drivers.vmbus import GuestChannel, Rescinded, VmBusClient
from vmio.hardware.accelerator import registers as r
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.machine.contracts import Record
from vmio.machine.layout import Layout, ShortMessage
from vmio.vmbus.accelerator import wire as w
from vmio.vmbus.accelerator.wire import Status
from vmio.vmbus.bus.packets import COMPLETION, RingCorrupt
from vmio.vmbus.bus.ring import RingFull

RING_PAGES = 4
TIMEOUT_NS = 10_000_000_000


class Refused(DriverError):
    """The host did not let a command through: the one at `at`."""

    def __init__(self, at: int) -> None:
        super().__init__(f"accelerator service: command {at} was refused: a command names "
                         f"memory that was shared, stays below {r.SRAM_BYTES:#x} of the on-chip memory, and is no jump")
        self.at = at


class AcceleratorVsc(AcceleratorDriver):
    """The service on `channel` of `client`; `base` is memory of the guest's, `size` bytes: commands first, then data."""

    def __init__(self, client: VmBusClient, channel: GuestChannel, base: int, size: int = MEMORY) -> None:
        super().__init__(client.cpu, 0, base, size=size)
        self.client, self.channel = client, channel
        self.gpadl = self.max_commands = 0
        self.error: DriverError | None = None
        self._answer: bytes | None = None

    def init(self) -> Steps[None]:
        """Open the channel, agree on a version, name the memory.  `DriverError` if the host refuses."""
        self.channel.on_rescind = self._rescinded
        yield from self.client.open(self.channel, pages=RING_PAGES, on_signal=self._look)
        found = yield from self._ask(w.VERSION.pack(version=w.VERSION_1), w.CAPABILITIES)
        if found.status != Status.SUCCESS or not found.max_commands:
            raise DriverError(f"accelerator service: version {w.VERSION_1}: status {found.status}")
        self.max_commands = min(found.max_commands, RING_BYTES // r.DESCRIPTOR.size)
        first = self.base // PAGE
        self.gpadl = yield from self.client.create_gpadl(self.channel, tuple(range(first, first + (RING_BYTES + self.data_bytes) // PAGE)))
        yield from self._wanted(w.MAP.pack(gpadl=self.gpadl))

    def load(self, network: Network) -> Steps[None]:
        """Bring a network's constants onto the chip; ValueError if they don't fit."""
        self.plan = Plan(network)
        self.cpu.write(self.data, network.constants)
        yield from self.run(self.plan.load(w.place(self.gpadl, RING_BYTES)))

    def infer(self, images: bytes) -> Steps[bytes]:
        """Return the last layer's int32 sums for these images; `Refused` or `Halted` if host or device say no."""
        number = self.check(images)
        self.cpu.write(self.data, images)
        source = w.place(self.gpadl, RING_BYTES)
        yield from self.run(self.plan.call(number, source, source + len(images)))
        self.calls += 1
        return self.cpu.read(self.data + len(images), 4 * number * self.plan.network.outputs)

    def run(self, commands: list[bytes]) -> Steps[None]:
        """Have these commands done, one buffer after the other."""
        for first in range(0, len(commands), self.max_commands):
            part = commands[first:first + self.max_commands]
            self.cpu.write(self.base, b"".join(part))
            yield from self._wanted(w.SUBMIT.pack(gpadl=self.gpadl, offset=0, commands=len(part)))

    def _wanted(self, message: bytes) -> Steps[None]:
        """Ask, and have it done."""
        answer = yield from self._ask(message, w.ANSWER)
        if answer.status == Status.REFUSED:
            raise Refused(answer.at)
        if answer.status == Status.FAILED:
            raise Halted(r.HALTED | answer.error << 8)
        if answer.status != Status.SUCCESS:
            raise DriverError(f"accelerator service: message of type {answer.type}: status {answer.status}")

    def _ask(self, message: bytes, reply: Layout) -> Steps[Record]:
        self._answer = None
        if self.channel.end is None:
            raise DriverError("accelerator service: the channel is closed")
        try:
            self.channel.end.send(message, 1, want_completion=True)
        except (RingFull, RingCorrupt) as error:
            raise DriverError(f"accelerator service: {error}") from None
        deadline = self.cpu.now + TIMEOUT_NS
        while self._answer is None:
            if self.error is not None:
                raise self.error
            if self.cpu.now >= deadline:
                raise DriverTimeout("accelerator service: no answer")
            yield from self.cpu.hlt(watchdog_ns=deadline - self.cpu.now)
        try:
            return reply.parse(self._answer)
        except ShortMessage as error:
            raise DriverError(f"accelerator service: {error}") from None

    def _look(self, cpu: Cpu) -> None:
        """In the interrupt: take what the host has sent."""
        self.interrupts += 1
        try:
            for packet in self.channel.end.packets() if self.channel.end is not None else ():
                if packet.kind == COMPLETION:
                    self._answer = packet.payload
        except RingCorrupt as error:
            self.error = DriverError(f"accelerator service: {error}")

    def _rescinded(self) -> None:
        self.error = Rescinded("accelerator service: the host has taken the device away")
