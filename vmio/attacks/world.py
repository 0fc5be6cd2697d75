"""A host with a hostile guest and an honest neighbour, canaries in all that is not the attacker's, and a stopwatch.

A mode's world adds devices, `bring_up(cpu)` for the neighbour (its disk, ready for
`read` and `write`), `counters()` of refusals, and `held()`.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from simpy.events import Event

from vmio.attacks.defence import Stuck
from vmio.attacks.places import touches
from vmio.attacks.verdict import SLOWEST, Outcome, judge
from vmio.drivers.errors import DriverError
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.guest import Guest, GuestFault
from vmio.hypervisor.faults import GuestTimeout
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE, HostMemory
from vmio.machine.storage import Image
from vmio.modes import Machine

RAM_MIB = 4
CANARY = 0x30_0000                  # guest-physical, in the neighbour: from here on its RAM is secret
BUFFER = 0x28_0000                  # where a guest has its requests' data
SECTORS = 256                       # of each guest's disk
NEIGHBOUR_RAM, NEIGHBOUR_DISK, HOST = b"neighbour's RAM.", b"neighbour's disk", b"the host's page."
OWN_DISK, HEIR = b"attacker's disk.", b"the next guest's"
ROUNDS, AFTER = 24, 4               # the neighbour's requests: beside the attack, and when it is over
LIMIT = 400_000_000                 # ns
STAYS = 100_000_000                 # ns that the neighbour stays awake when its own work is done
SETTLE = 10_000_000                 # ns: what the attack has begun comes to its end

_at_rest: dict[type, int] = {}      # world class -> ns of the neighbour's requests beside a guest at rest


def pages_of(marker: bytes, length: int) -> bytes:
    """`length` bytes full of a marker."""
    return marker * (length // len(marker))


def behind(memory: HostMemory, guest: Guest) -> int:
    """Take the two pages right behind a guest's RAM, and keep what its alignment has passed over; returns their SPA.

    So the next who comes gets what has come free meanwhile, and nothing else.
    """
    _, spa, length = guest.backing.runs()[-1]
    while (found := memory.allocate(2)) != spa + length:
        pass
    return found


class World:
    """What all modes have: two guests, canaries, the honest requests, the measuring."""

    vcpus = 1                           # of the attacker
    host_mib = 48                       # of the host
    limit_ns = LIMIT                    # of virtual time for all of it
    answers = NEIGHBOUR_DISK            # what the neighbour's requests bring, again and again: 16 bytes

    def __init__(self, cores: int = 2) -> None:
        self.machine = Machine(cores=cores, memory_mib=self.host_mib)
        host = self.host = self.machine.host
        for spa in [host.memory.allocate(1) for _ in range(16)][::2]:
            host.memory.free(spa, 1)                    # the attacker's tables go there, each by itself, so that
        self.attacker = self.machine.guest("attacker", ram_mib=RAM_MIB, vcpus=self.vcpus).make().guest
        self.places = [(spa, length) for _, spa, length in self.attacker.backing.runs()]    # also when it is dead
        self.secret = behind(host.memory, self.attacker)  # the host's page begins where the attacker's RAM ends
        self.neighbour = self.machine.guest("neighbour", ram_mib=RAM_MIB).make().guest
        behind(host.memory, self.neighbour)
        self.own = Image.open(pages_of(OWN_DISK, SECTORS * 512))
        self.theirs = Image.open(pages_of(NEIGHBOUR_DISK, SECTORS * 512))
        self.canaries: dict[str, tuple[int, bytes]] = {}    # name -> (SPA, bytes)
        self.watch("neighbour's RAM", self.neighbour.ram_spa(CANARY), pages_of(NEIGHBOUR_RAM, self.neighbour.ram - CANARY))
        self.watch("host's page", self.secret, pages_of(HOST, 2 * PAGE))
        self.watch("host's first page", 0, bytes(PAGE))
        self.loot = bytearray()                         # what the attacker has seen elsewhere than in its RAM
        self.states: dict[str, tuple[Callable[[], Any], Any]] = {}      # name -> (function, what it gave): other things that must not change
        self.refusals: dict[str, int] = {}              # what the attacker was told
        self.effects: list[str] = []                    # other signs that something of somebody else's was reached
        self.disk: Any = None                           # the neighbour's
        self.taken: int | None = None                   # ns of its requests
        self.secrets: list[tuple[str, bytes]] = []      # more (name, 16 bytes) that the attacker must not have
        self.up = self.begun = self.over = False
        self.answered = 0                               # of the neighbour's requests
        self.down: list[str] = []                       # names of what no longer goes on
        self._before: dict[str, int] = {}

    def watch(self, name: str, spa: int, data: bytes | None = None) -> None:
        """A canary: bytes of host memory that must stay as they are, or as `data`, which is put there."""
        if data is not None:
            self.host.memory.write(spa, data)
        self.canaries[name] = spa, self.host.memory.read(spa, PAGE if data is None else len(data))

    def watch_state(self, name: str, look: Callable[[], Any]) -> None:
        """A canary that is no memory: what `look()` gives now, it must give when all is over."""
        self.states[name] = look, look()

    # For attacks.

    def begin(self, cpu: VCpu) -> Steps[None]:
        """The attack proper begins now, with the neighbour at work: `yield from world.begin(cpu)`."""
        while not self.up:
            yield from cpu.hlt(10_000)
        yield from cpu.pay()
        if not self.begun:
            self.mark()

    def mark(self) -> None:
        """From here refusals count."""
        self._before, self.begun = dict(self.counters()), True

    def refused(self) -> dict[str, int]:
        """{who has said no: how often} since the attack began."""
        counted = {name: count - self._before.get(name, 0) for name, count in self.counters().items()}
        return {**{name: count for name, count in counted.items() if count > 0}, **self.refusals}

    def told(self, what: str) -> None:
        """The attacker got this status or fault."""
        self.refusals[what] = self.refusals.get(what, 0) + 1

    def pass_on(self, after_ns: int, reset: bool = True) -> None:
        """In `after_ns` the attacker is killed, and a new guest gets its memory."""
        def kill(_: Event) -> None:
            if reset:
                self.attacker.enlightened.reset()
            self.host.env.timeout(50_000).callbacks.append(bury)

        def bury(_: Event) -> None:
            try:
                self.attacker.destroy()
            except (ValueError, RuntimeError) as error:
                self.told(f"not destroyed, {error}".split(";")[0])
                return
            heir = self.host.guest("heir", RAM_MIB)
            self.watch("next guest's RAM", heir.ram_spa(0), pages_of(HEIR, heir.ram))
        self.host.env.timeout(after_ns).callbacks.append(kill)

    # The parts of a mode.

    def without_iommu(self) -> AbstractContextManager:
        """Context manager: the same machine without an IOMMU.  Most have no device that would need one."""
        return nullcontext()

    def bring_up(self, cpu: VCpu) -> Steps:
        """The neighbour's driver; a generator that returns its disk.  Without one: its own memory is its work."""
        return None
        yield

    def counters(self) -> dict[str, int]:
        """{who refuses: how often so far}."""
        return {}

    def held(self) -> dict[str, tuple[int, int]]:
        """{what the host keeps for the attacker: (number, most)}."""
        return {}

    # Running and judging.

    def attacked_by(self, program: Callable[..., Any]) -> Outcome:
        """Run `program(world, cpu)` beside the honest neighbour; the `Outcome`."""
        stopped = self._run(program)
        slowdown = None
        if stopped is None and self.taken is not None:
            slowdown = round(self.taken / self.at_rest(), 2)
        held, changed, leaked, refused = self.held(), self._changed(), self._leaked(), self.refused()
        touched = touches(changed, leaked, self.down, slowdown is not None and slowdown > SLOWEST, held)
        return judge(stopped, held, slowdown, changed, leaked, refused)._replace(touched=touched, answered=self.answered, refused=refused)

    @classmethod
    def at_rest(cls) -> int:
        """Return how long the neighbour's requests take beside a guest that does nothing, in ns."""
        if cls not in _at_rest:
            world = cls()

            def rest(world: "World", cpu: VCpu) -> Steps[None]:
                yield from world.begin(cpu)
            stopped = world._run(rest)
            if stopped is not None or world.taken is None:
                raise RuntimeError(f"{cls.__name__} beside a guest at rest: {stopped}")
            _at_rest[cls] = world.taken
        return _at_rest[cls]

    def _run(self, program: Callable[..., Any]) -> str | None:
        """Why the host or the neighbour is no longer alive, or None."""
        env = self.host.env
        try:
            self.host.run((self.neighbour.cpu, self._honest), (self.attacker.cpu, lambda cpu: self._contained(cpu, program)),
                          limit_ns=self.limit_ns)
            env.run(until=env.now + SETTLE)
            self.host.run((self.neighbour.cpu, lambda cpu: self._requests(cpu, AFTER)), limit_ns=self.limit_ns)
        except Stuck as error:
            self.down.append("host's itself")
            return f"the watchdog stopped the host: {error}"
        except GuestTimeout as error:
            return f"no progress: {error}"
        except DriverError as error:
            return f"the neighbour's driver: {error}"
        except Exception as error:  # noqa: BLE001  whatever it is: it has left the host
            self.down.append("host's itself")
            return f"{type(error).__name__} left the host: {error}"
        finally:
            if self.answered < ROUNDS + AFTER:
                self.down.append("neighbour's requests")
        return None

    def _contained(self, cpu: VCpu, program: Callable[..., Any]) -> Steps[None]:
        """The attack; that its own driver or processor stops it is no harm to anybody else."""
        try:
            return (yield from program(self, cpu))
        except GuestTimeout:
            pass                             # it may go on as long as it likes: only the neighbour's time counts
        except (DriverError, GuestFault) as error:
            self.told(type(error).__name__)
        finally:
            self.begun = self.over = True

    def _honest(self, cpu: VCpu) -> Steps[None]:
        self.disk = yield from self.bring_up(cpu)
        self.up = True
        while not self.begun:
            yield from cpu.hlt(10_000)
        yield from cpu.pay()
        started = cpu.now
        yield from self._requests(cpu, ROUNDS)
        self.taken = cpu.now - started
        while not self.over and cpu.now < started + STAYS:      # its devices go on as long as it is awake
            yield from cpu.hlt(100_000)

    def _requests(self, cpu: VCpu, number: int) -> Steps[None]:
        """Read and write 4 KiB, and look whether the bytes are right."""
        cpu.compute(max(self.host.env.now - cpu.now, 0))    # it slept while the others ran
        expected = pages_of(self.answers, PAGE)
        for n in range(number):
            lba = 8 * (n % 16)
            if self.disk is None:
                cpu.compute(10_000)
                yield from cpu.pay()
                self.answered += 1
                continue
            cpu.write(BUFFER, bytes(PAGE))
            yield from self.disk.read(lba, 8, BUFFER)
            if cpu.read(BUFFER, PAGE) != expected:
                self.effects.append("neighbour's requests")
            if n % 4 == 0:
                yield from self.disk.write(lba, 8, BUFFER)
            self.answered += 1

    def _changed(self) -> list[str]:
        """Names of what is no longer as it was."""
        changed = [name for name, (spa, data) in self.canaries.items() if self.host.memory.read(spa, len(data)) != data]
        if self.theirs.read(0, SECTORS) != pages_of(NEIGHBOUR_DISK, SECTORS * 512):
            changed.append("neighbour's disk")
        changed += [name for name, (look, before) in self.states.items() if look() != before]
        return list(dict.fromkeys(changed + self.effects))

    def _leaked(self) -> list[str]:
        """Whose bytes the attacker has."""
        has = (*(self.host.memory.read(spa, length) for spa, length in self.places), self.own.read(0, SECTORS), self.loot)
        markers = (("neighbour's RAM", NEIGHBOUR_RAM), ("neighbour's disk", NEIGHBOUR_DISK), ("host's page", HOST), *self.secrets)
        return [name for name, marker in markers if any(marker in data for data in has)]


@contextmanager
def nobody_asks(world: World) -> Iterator[None]:
    """Nobody asks, before a guest is destroyed, who still uses its memory: the bus, the VSP, a device."""
    vetoes = world.attacker.vetoes
    kept = list(vetoes)
    vetoes.clear()
    yield
    vetoes[:] = kept
