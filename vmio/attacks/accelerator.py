"""Attacks on a matrix engine: what is left on the chip, a job without an end, commands that lie or change, tails and addresses beyond.

Source of the first: T. Sorensen and H. Khlaaf, "LeftoverLocals: Listening to LLM responses through leaked GPU local memory" (2024).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from vmio.attacks.accelerator_world import EmulatedEngineWorld, FunctionWorld, ServiceWorld
from vmio.attacks.catalogue import collection
from vmio.attacks.defence import Watchdog, without
from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED
from vmio.attacks.world import CANARY
from vmio.drivers.accelerator import RING_BYTES
from vmio.drivers.accelerator_plan import moves
from vmio.hardware.accelerator import registers as r
from vmio.hardware.accelerator.function import EngineFunction
from vmio.hardware.accelerator.registers import DESCRIPTOR, SRAM_BYTES, Op
from vmio.host.accelerator import commands, service
from vmio.host.accelerator.service import AcceleratorService, GuestContext
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.clock import NEVER
from vmio.machine.probes import watch
from vmio.machine.window import Window
from vmio.vmbus.accelerator import wire as w

LEFTOVERS = "T. Sorensen, H. Khlaaf, \"LeftoverLocals\", 2024 (CVE-2023-4969)"
TIMEOUT = "learn.microsoft.com, \"Timeout Detection and Recovery (TDR)\""
GPU_PV = "learn.microsoft.com, \"GPU paravirtualization\""
ATTACKS, attack = collection("accelerator", "passthrough", FunctionWorld, "device's DMA")


@attack("engine-leftovers", "Take over a function that was the neighbour's, and read the chip", "a device changes hands clean", LEFTOVERS,
        "a reset scrubs the on-chip memory", lambda world: without(EngineFunction, "clear", lambda self: None), PASS, FAIL,
        wall="scrub at reset", door="change of owner")
def leftovers(world: FunctionWorld, cpu: VCpu) -> Steps:
    bar = yield from world.function(cpu, world.lend_spare())
    yield from world.begin(cpu)
    for at in range(0, 256, 4):
        world.loot += cpu.load(bar + r.SRAM + at, 4).to_bytes(4, "little")


@contextmanager
def as_long_as_it_likes(world: FunctionWorld) -> Iterator[None]:
    """Who has the multipliers has them until it is done."""
    with without(world.engine, "slice_ns", NEVER), without(world.engine, "limit_ns", NEVER):
        yield


@attack("engine-endless-job", "Let a job jump back to its beginning for ever", "a job takes its share of time, and ends", TIMEOUT,
        "time slices, and a limit for a job", as_long_as_it_likes, REJECT, WEDGED, wall="slices and a limit", door="processor time", long=True)
def endless(world: FunctionWorld, cpu: VCpu) -> Steps:
    driver = yield from world.driver(cpu)
    yield from world.begin(cpu)
    load = DESCRIPTOR.pack(op=Op.LOAD, rows=256, cols=256, address=driver.data + driver.offset)
    cpu.write(driver.base + DESCRIPTOR.size * driver.tail, load + DESCRIPTOR.pack(op=Op.JUMP, rows=driver.tail))
    driver.tail += 2
    yield from driver.ring_and_wait()


@contextmanager
def no_domain(world: FunctionWorld) -> Iterator[None]:
    """GCMD.TE is 0: a device's addresses are the host's."""
    world.iommu.disable()
    yield


@attack("engine-dma-outside", "Let the engine store into the neighbour's RAM", "a device reaches its domain",
        "Intel VT-d specification 3.4 \"Mapping Devices to Domains\"", "IOMMU on", no_domain, REJECT, FAIL, wall="IOMMU domain")
def outside(world: FunctionWorld, cpu: VCpu) -> Steps:
    driver = yield from world.driver(cpu)
    yield from world.begin(cpu)
    yield from driver.run(moves(Op.STORE, world.neighbour.ram_spa(CANARY), 0, 4096))


def loop_until_tail(function: EngineFunction, tail: int) -> None:
    """An emulator that takes the tail as it is, and goes on until it is there."""
    dog = Watchdog()
    function.tail = function.written_tail = tail
    while function.head != tail:
        dog.tick()
        if function.begin() is not None:
            function.finish()


@attack("engine-tail-beyond", "Ring a tail that is beyond the ring", "an index is one of the ring",
        "OpenVMM vm/devices/storage/nvme (doorbells are checked)", "the tail is checked when it is written",
        lambda world: without(EngineFunction, "_doorbell", loop_until_tail), REJECT, WEDGED, wall="tail check", mode="emulated",
        world=EmulatedEngineWorld, door="rings")
def tail(world: EmulatedEngineWorld, cpu: VCpu) -> Steps:
    driver = yield from world.driver(cpu)
    cpu.store(driver.bar + r.TAIL, 4, 0x1_0000)
    yield from cpu.hlt(100_000)


# The service: commands in memory that the guest may change.

def unbounded(at: int, place: int, length: int, memory: dict[int, Window]) -> list[tuple[int, int]]:
    """Adds an offset to where the memory begins, and looks no further."""
    (first, _), = memory[place >> 32].runs(0, 1)
    return [(first + (place & 0xFFFF_FFFF), length)]


@attack("engine-command-beyond", "Hand over a command whose memory ends before it", "a command reaches the memory that was named", GPU_PV,
        "each place is looked for in the memory that the guest has named", lambda world: without(commands, "runs", unbounded), REJECT, FAIL,
        wall="command check", mode="split", world=ServiceWorld, door="messages")
def beyond(world: ServiceWorld, cpu: VCpu) -> Steps:
    driver = yield from world.driver(cpu)
    yield from world.begin(cpu)
    far = world.neighbour.ram_spa(CANARY) - world.attacker.ram_spa(0) - driver.base
    yield from driver.run(moves(Op.STORE, w.place(driver.gpadl, far), 0, 4096))


class Live:
    """A command buffer as it is in the guest's memory at the moment."""

    def __init__(self, window: Window, offset: int, length: int) -> None:
        self.window, self.offset, self.length = window, offset, length

    def now(self) -> bytes:
        """Return its bytes."""
        return self.window.read(self.offset, self.length)


@contextmanager
def looked_at_twice(world: ServiceWorld) -> Iterator[None]:
    """The host checks what lies in the shared memory, then reads it again to run it."""
    checked = service.checked

    def copied(window: Window, offset: int, length: int) -> Live:
        live = Live(window, offset, length)
        checked(live.now(), world.vsp.mapped)
        return live

    def again(found: bytes | Live, memory: dict[int, Window]) -> list[bytes]:
        if isinstance(found, Live):
            with without(commands, "runs", unbounded):
                return checked(found.now(), memory)
        return checked(found, memory)
    with ExitStack() as stack:
        stack.enter_context(without(world.vsp, "_copied", copied))
        stack.enter_context(without(service, "checked", again))
        yield


@attack("engine-command-changed", "Change a command between check and use", "what is checked is what is used: one fetch",
        "Xen Security Advisory 155; F. Wilhelm, \"Xenpwn\", 2016", "the command buffer is copied once, and the copy is used",
        looked_at_twice, PASS, FAIL, wall="private copy", mode="split", world=ServiceWorld, door="messages")
def changed(world: ServiceWorld, cpu: VCpu) -> Steps:
    driver = yield from world.driver(cpu)
    yield from world.begin(cpu)
    far = world.neighbour.ram_spa(CANARY) - world.attacker.ram_spa(0) - driver.base

    def other_processor(_: bytes) -> None:        # the guest's second vCPU; here it is lucky
        driver.cpu.write(driver.base, moves(Op.STORE, w.place(driver.gpadl, far), 0, 4096)[0])
    watch(world.vsp, "copied", other_processor)
    yield from driver.run(moves(Op.STORE, w.place(driver.gpadl, RING_BYTES), 0, 4096))


def never_switched(world: ServiceWorld) -> AbstractContextManager:
    """Whoever comes next finds the chip as the last one left it."""
    def switch(self: AcceleratorService, context: GuestContext) -> Steps[None]:
        self.loaded = context
        return
        yield
    return without(AcceleratorService, "_switch", switch)


@attack("engine-next-turn", "Read the chip when it was just the neighbour's turn", "what is on the chip goes with its guest", LEFTOVERS,
        "the on-chip memory is kept and brought back at each turn", never_switched, PASS, FAIL, wall="switch of contexts", mode="split",
        world=ServiceWorld, door="change of owner")
def next_turn(world: ServiceWorld, cpu: VCpu) -> Steps:
    driver = yield from world.driver(cpu)
    yield from world.begin(cpu)
    yield from driver.run(moves(Op.STORE, w.place(driver.gpadl, RING_BYTES), 0, SRAM_BYTES))
