"""A host with a hostile guest and an honest neighbour, canaries in all that is not the attacker's, and a stopwatch.

A mode's world adds devices, `bring_up(cpu)` for the neighbour (its disk, ready for
`read` and `write`), `counters()` of refusals, and `held()`.
"""

from contextlib import contextmanager

from vmio.attacks.defence import Stuck
from vmio.attacks.verdict import judge
from vmio.drivers.errors import DriverError
from vmio.hypervisor.guest import GuestFault
from vmio.hypervisor.host import GuestTimeout, Host
from vmio.machine.memory import PAGE
from vmio.machine.storage import Image

RAM_MIB = 4
CANARY = 0x30_0000                  # guest-physical, in the neighbour: from here on its RAM is secret
BUFFER = 0x28_0000                  # where a guest has its requests' data
SECTORS = 256                       # of each guest's disk
NEIGHBOUR_RAM, NEIGHBOUR_DISK, HOST = b"neighbour's RAM.", b"neighbour's disk", b"the host's page."
OWN_DISK, HEIR = b"attacker's disk.", b"the next guest's"
ROUNDS, AFTER = 24, 4               # the neighbour's requests: beside the attack, and when it is over
LIMIT = 400_000_000               # ns of virtual time for all of it
STAYS = 100_000_000                 # ns that the neighbour stays awake when its own work is done
SETTLE = 10_000_000                 # ns: what the attack has begun comes to its end

_at_rest = {}                       # world class -> ns of the neighbour's requests beside a guest at rest


def pages_of(marker, length):
    """`length` bytes full of a marker."""
    return marker * (length // len(marker))


class World:
    """What all modes have: two guests, canaries, the honest requests, the measuring."""

    vcpus = 1                           # of the attacker

    def __init__(self, cores=2):
        self.host = host = Host(memory_mib=48, cores=cores)
        for spa in [host.memory.allocate(1) for _ in range(16)][::2]:
            host.memory.free(spa, 1)                    # the attacker's tables go there, each by itself, so that
        self.attacker = host.guest("attacker", RAM_MIB, self.vcpus)
        self.places = [(spa, length) for _, spa, length in self.attacker.backing.runs()]    # also when it is dead
        self.secret = host.memory.allocate(2)           # the host's page begins where the attacker's RAM ends
        self.neighbour = host.guest("neighbour", RAM_MIB)
        self.own = Image.open(pages_of(OWN_DISK, SECTORS * 512))
        self.theirs = Image.open(pages_of(NEIGHBOUR_DISK, SECTORS * 512))
        self.canaries = {}                              # name -> (SPA, bytes)
        self.watch("neighbour's RAM", self.neighbour.ram_spa(CANARY), pages_of(NEIGHBOUR_RAM, self.neighbour.ram - CANARY))
        self.watch("host's page", self.secret, pages_of(HOST, 2 * PAGE))
        self.watch("host's first page", 0, bytes(PAGE))
        self.loot = bytearray()                         # what the attacker has seen elsewhere than in its RAM
        self.refusals = {}                              # what the attacker was told
        self.effects = []                               # other signs that something of somebody else's was reached
        self.disk = self.taken = None                   # the neighbour's; ns of its requests
        self.up = self.begun = self.over = False
        self._before = {}

    def watch(self, name, spa, data=None):
        """A canary: bytes of host memory that must stay as they are, or as `data`, which is put there."""
        if data is not None:
            self.host.memory.write(spa, data)
        self.canaries[name] = spa, self.host.memory.read(spa, PAGE if data is None else len(data))

    # For attacks.

    def begin(self, cpu):
        """The attack proper begins now, with the neighbour at work: `yield from world.begin(cpu)`."""
        while not self.up:
            yield from cpu.hlt(10_000)
        yield from cpu.pay()
        self.mark()

    def mark(self):
        """From here refusals count."""
        self._before, self.begun = dict(self.counters()), True

    def told(self, what):
        """The attacker got this status or fault."""
        self.refusals[what] = self.refusals.get(what, 0) + 1

    def pass_on(self, after_ns, reset=True):
        """In `after_ns` the attacker is killed, and a new guest gets its memory."""
        def kill(_):
            if reset:
                self.attacker.enlightened.reset()
            self.host.env.timeout(50_000).callbacks.append(bury)

        def bury(_):
            try:
                self.attacker.destroy()
            except (ValueError, RuntimeError) as error:
                self.told(f"not destroyed, {error}".split(";")[0])
                return
            heir = self.host.guest("heir", RAM_MIB)
            self.watch("next guest's RAM", heir.ram_spa(0), pages_of(HEIR, heir.ram))
        self.host.env.timeout(after_ns).callbacks.append(kill)

    # The parts of a mode.

    def bring_up(self, cpu):
        """The neighbour's driver; a generator that returns its disk.  Without one: its own memory is its work."""
        return None
        yield

    def counters(self):
        """{who refuses: how often so far}."""
        return {}

    def held(self):
        """{what the host keeps for the attacker: (number, most)}."""
        return {}

    # Running and judging.

    def attacked_by(self, program):
        """Run `program(world, cpu)` beside the honest neighbour; the `Outcome`."""
        stopped = self._run(program)
        slowdown = None
        if stopped is None:
            slowdown = round(self.taken / self.at_rest(), 2)
        refused = {name: count - self._before.get(name, 0) for name, count in self.counters().items()
                   if count > self._before.get(name, 0)}
        return judge(stopped, self.held(), slowdown, self._changed(), self._leaked(), {**refused, **self.refusals})

    @classmethod
    def at_rest(cls):
        """How long the neighbour's requests take beside a guest that does nothing, in ns."""
        if cls not in _at_rest:
            world = cls()

            def rest(world, cpu):
                yield from world.begin(cpu)
            stopped = world._run(rest)
            if stopped is not None:
                raise RuntimeError(f"{cls.__name__} beside a guest at rest: {stopped}")
            _at_rest[cls] = world.taken
        return _at_rest[cls]

    def _run(self, program):
        """Why the host or the neighbour is no longer alive, or None."""
        env = self.host.env
        try:
            self.host.run((self.neighbour.cpu, self._honest), (self.attacker.cpu, lambda cpu: self._contained(cpu, program)),
                          limit_ns=LIMIT)
            env.run(until=env.now + SETTLE)
            self.host.run((self.neighbour.cpu, lambda cpu: self._requests(cpu, AFTER)), limit_ns=LIMIT)
        except Stuck as error:
            return f"the watchdog stopped the host: {error}"
        except GuestTimeout as error:
            return f"no progress: {error}"
        except DriverError as error:
            return f"the neighbour's driver: {error}"
        except Exception as error:  # noqa: BLE001  whatever it is: it has left the host
            return f"{type(error).__name__} left the host: {error}"
        return None

    def _contained(self, cpu, program):
        """The attack; that its own driver or processor stops it is no harm to anybody else."""
        try:
            return (yield from program(self, cpu))
        except GuestTimeout:
            pass                             # it may go on as long as it likes: only the neighbour's time counts
        except (DriverError, GuestFault) as error:
            self.told(type(error).__name__)
        finally:
            self.begun = self.over = True

    def _honest(self, cpu):
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

    def _requests(self, cpu, number):
        """Read and write 4 KiB, and look whether the bytes are right."""
        cpu.compute(max(self.host.env.now - cpu.now, 0))    # it slept while the others ran
        expected = pages_of(NEIGHBOUR_DISK, PAGE)
        for n in range(number):
            lba = 8 * (n % 16)
            if self.disk is None:
                cpu.compute(10_000)
                yield from cpu.pay()
                continue
            cpu.write(BUFFER, bytes(PAGE))
            yield from self.disk.read(lba, 8, BUFFER)
            if cpu.read(BUFFER, PAGE) != expected:
                self.effects.append("neighbour's requests")
            if n % 4 == 0:
                yield from self.disk.write(lba, 8, BUFFER)

    def _changed(self):
        """Names of what is no longer as it was."""
        changed = [name for name, (spa, data) in self.canaries.items() if self.host.memory.read(spa, len(data)) != data]
        if self.theirs.read(0, SECTORS) != pages_of(NEIGHBOUR_DISK, SECTORS * 512):
            changed.append("neighbour's disk")
        return list(dict.fromkeys(changed + self.effects))

    def _leaked(self):
        """Whose bytes the attacker has."""
        has = (*(self.host.memory.read(spa, length) for spa, length in self.places), self.own.read(0, SECTORS), self.loot)
        markers = (("neighbour's RAM", NEIGHBOUR_RAM), ("neighbour's disk", NEIGHBOUR_DISK), ("host's page", HOST))
        return [name for name, marker in markers if any(marker in data for data in has)]


@contextmanager
def nobody_asks(world):
    """Nobody asks, before a guest is destroyed, who still uses its memory: the bus, the VSP, a device."""
    callbacks = world.attacker.on_destroy
    kept = list(callbacks)
    callbacks[:] = [each for each in kept if each.__name__ not in ("_check_unused", "_destroyed", "_guest_ends")]
    yield
    callbacks[:] = kept
