"""Drivers for the matrix engine: one with a ring, for who is given the device or has it emulated, and one with registers only.

    yield from driver.load(network)                     weights and biases, once
    sums = yield from driver.infer(images)              one call: all its images, their int32 sums when it has ended

Both wait for the device's interrupt; neither reads a register to learn how it went, but when something went wrong.
"""

from vmio.drivers.accelerator_plan import Network, Plan, with_interrupt
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.hardware.accelerator import registers as r
from vmio.hardware.accelerator.registers import DESCRIPTOR, LIMIT_NS, MAX_ENTRIES, SRAM_BYTES, WRITTEN, Error
from vmio.hypervisor.contracts import DriverCpu, Steps

ENTRIES = 256                       # of the ring
RING_BYTES = 3 * 4096               # the ring, and what the device writes behind it
MEMORY = RING_BYTES + (4 << 20)     # bytes that a driver needs: the ring, then images and sums
WATCH_NS = 1_000_000_000            # a guest's own patience; the device's limit is far shorter


WHY: dict[int, str] = {
    Error.NONE: "without an error",
    Error.OPERATION: "OPERATION: there is no such operation, or it has no such flag",
    Error.BOUNDS: f"BOUNDS: a descriptor reaches beyond the on-chip memory, whose last byte is at {SRAM_BYTES - 1:#x}",
    Error.RING: f"RING: a ring has 2 to {MAX_ENTRIES:,} entries, and a tail or a jump stays within them",
    Error.DMA: "DMA: memory was refused at a descriptor's address",
    Error.LIMIT: f"LIMIT: a job may take {LIMIT_NS // 1000:,} us",
}


class Halted(DriverError):
    """The device has stopped: `error` is why."""

    def __init__(self, status: int) -> None:
        code = status >> 8 & 0xFF
        self.error = code
        why = WHY.get(code, f"code {code}, which it doesn't have")
        super().__init__(f"matrix engine: it has halted, {why} (STATUS {status:#x})")


class AcceleratorDriver:
    """What both drivers have: the registers at `bar`, and a place for data, `size` bytes at `base` by the processor's addresses.

    `cpu` is a guest's `VCpu` or the host's `HostCpu`; `offset` leads from its addresses to the device's.
    """

    plan: Plan

    def __init__(self, cpu: DriverCpu, bar: int, base: int, offset: int = 0, size: int = MEMORY) -> None:
        self.cpu, self.bar, self.base, self.offset = cpu, bar, base, offset
        self.data, self.data_bytes = base + RING_BYTES, size - RING_BYTES
        self.interrupts = self.calls = 0
        self._lost: DriverError | None = None

    def load(self, network: Network) -> Steps[None]:
        """Bring a network's constants onto the chip; ValueError if they don't fit."""
        raise NotImplementedError

    def infer(self, images: bytes) -> Steps[bytes]:
        """Return the last layer's int32 sums for these images; `DriverError` if somebody refuses."""
        raise NotImplementedError

    def interrupt(self, cpu: DriverCpu | None = None) -> None:
        """The device says that it is done, or has halted."""
        self.interrupts += 1

    def lose(self, why: DriverError) -> None:
        """The device is there no more: who waits for it is told `why`, and who asks it later, too."""
        self._lost = why

    def read(self, register: int) -> int:
        """Read a register."""
        return self.cpu.load(self.bar + register, 4)

    def write(self, register: int, value: int) -> None:
        """Write one."""
        self.cpu.store(self.bar + register, 4, value)

    def _identify(self) -> None:
        if self.read(r.ID) != r.IDENTITY:
            raise DriverTimeout(f"no matrix engine at {self.bar:#x}")

    def _interrupted(self, before: int) -> Steps[None]:
        """Wait for an interrupt that is none of the `before`."""
        deadline = self.cpu.now + WATCH_NS
        while self.interrupts == before:
            if self._lost is not None:
                raise self._lost
            if self.cpu.now >= deadline:
                raise DriverTimeout("matrix engine: no interrupt")
            yield from self.cpu.hlt(watchdog_ns=deadline - self.cpu.now)

    def most(self) -> int:
        """Return how many images a call may have."""
        network = self.plan.network
        return self.data_bytes // (network.inputs + 4 * network.outputs)

    def check(self, images: bytes) -> int:
        """Return how many images these are; ValueError for part of one, and for more than fit into memory."""
        number = self.plan.network.count(images)
        if number > self.most():
            raise ValueError(f"{number:,} images in one call; 1 to {self.most():,} fit into the driver's memory")
        return number


class RingDriver(AcceleratorDriver):
    """With a ring: descriptors in memory, one store of the tail tells of all."""

    tail = 0                # the entry that is written next

    def init(self) -> Steps[None]:
        """Reset, tell where the ring is, run."""
        self._identify()
        self.write(r.CONTROL, r.RESET)
        self.tail = 0
        ring = self.base + self.offset
        for register, value in ((r.RING_LOW, ring & 0xFFFF_FFFF), (r.RING_HIGH, ring >> 32), (r.RING_SIZE, ENTRIES), (r.CONTROL, r.RUN)):
            self.write(register, value)
        return
        yield

    def load(self, network: Network) -> Steps[None]:
        """Bring a network's constants onto the chip; ValueError if they don't fit."""
        self.plan = Plan(network)
        self.cpu.write(self.data, network.constants)
        descriptors = self.plan.load(self.data + self.offset)
        yield from self.run([*descriptors[:-1], with_interrupt(descriptors[-1])])

    def infer(self, images: bytes) -> Steps[bytes]:
        """Return the last layer's int32 sums for these images; `Halted` if the device refuses."""
        number = self.check(images)
        self.cpu.write(self.data, images)
        target = self.data + len(images)
        yield from self.run(self.plan.call(number, self.data + self.offset, target + self.offset))
        self.calls += 1
        return self.cpu.read(target, 4 * number * self.plan.network.outputs)

    def run(self, descriptors: list[bytes]) -> Steps[None]:
        """Have these descriptors done, of which only the last one interrupts; more than the ring holds in several parts."""
        room = ENTRIES - 1
        for first in range(0, len(descriptors), room):
            part = descriptors[first:first + room]
            part[-1] = with_interrupt(part[-1])
            for each in part:
                self.cpu.write(self.base + DESCRIPTOR.size * self.tail, each)
                self.tail = (self.tail + 1) % ENTRIES
            yield from self.ring_and_wait()

    def ring_and_wait(self) -> Steps[None]:
        """The doorbell, and its answer."""
        before = self.interrupts
        self.write(r.TAIL, self.tail)
        yield from self._interrupted(before)
        written = WRITTEN.parse(self.cpu.read(self.base + DESCRIPTOR.size * ENTRIES, WRITTEN.size))
        if written.status & r.HALTED:
            raise Halted(written.status)
        if written.head != self.tail:
            raise DriverError(f"matrix engine: it is at entry {written.head}, {self.tail} was to come")


class RegisterDriver(AcceleratorDriver):
    """With registers only: the processor carries every byte, four at a time, and starts each operation by itself."""

    def init(self) -> Steps[None]:
        """Reset."""
        self._identify()
        self.write(r.CONTROL, r.RESET)
        return
        yield

    def most(self) -> int:
        """Return how many images a call may have: without a ring any number, in pieces."""
        return 1 << 20

    def load(self, network: Network) -> Steps[None]:
        """Carry a network's constants onto the chip."""
        self.plan = Plan(network)
        self._carry(0, network.constants)
        return
        yield

    def infer(self, images: bytes) -> Steps[bytes]:
        """Return the last layer's int32 sums for these images; `Halted` if the device refuses."""
        number, plan, sums = self.check(images), self.plan, []
        inputs, outputs = plan.network.inputs, 4 * plan.network.outputs
        for first in range(0, number, plan.piece):
            some = min(plan.piece, number - first)
            self._carry(plan.areas[0], images[first * inputs:(first + some) * inputs])
            for descriptor in plan.products(some):
                yield from self.run(with_interrupt(descriptor))
            sums += [self.read(r.SRAM + plan.areas[-1] + at).to_bytes(4, "little") for at in range(0, some * outputs, 4)]
        self.calls += 1
        return b"".join(sums)

    def run(self, descriptor: bytes) -> Steps[None]:
        """One operation: eight words, the start, its interrupt, and a look whether it went well."""
        before = self.interrupts
        for at in range(0, DESCRIPTOR.size, 4):
            self.write(r.DIRECT + at, int.from_bytes(descriptor[at:at + 4], "little"))
        self.write(r.CONTROL, r.START)
        yield from self._interrupted(before)
        status = self.read(r.STATUS)
        if status & r.HALTED:
            raise Halted(status)

    def _carry(self, place: int, data: bytes) -> None:
        """Store bytes on the chip, a word at a time."""
        for at in range(0, len(data), 4):
            self.cpu.store(self.bar + r.SRAM + place + at, 4, int.from_bytes(data[at:at + 4].ljust(4, b"\0"), "little"))
