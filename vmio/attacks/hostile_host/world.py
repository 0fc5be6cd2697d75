"""A confidential guest at work with a split disk and a split network card, and a host that does to it what it likes.

The guest keeps a secret in a private page that no device is ever told of, reads and writes its disk, and answers every frame with
what was in it.  The verdict comes from what was measured: whether the secret is anywhere the host can look, whether the guest's own
memory is as it was, whether its program came to its end, and what its drivers counted.  A driver that gives its device up has
stopped cleanly: a host can always serve nobody.
"""

from collections.abc import Callable, Generator
from typing import Any

from simpy.events import Event

from vmio.attacks.defence import Stuck
from vmio.attacks.verdict import FAIL, Outcome, judge
from vmio.drivers.contracts import DiskDriver
from vmio.drivers.errors import DriverError
from vmio.drivers.netvsc import NetVsc
from vmio.drivers.storvsc import StorVsc
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.faults import GuestFault, GuestTimeout
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Buffer
from vmio.machine.memory import PAGE
from vmio.machine.net.cable import Cable
from vmio.machine.storage import Image
from vmio.modes import Machine
from vmio.modes.disk_split import SplitDisk
from vmio.modes.net_split import SplitNet
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.contracts import Answerable
from vmio.vmbus.bus.packets import Packet
from vmio.vmbus.bus.ring import DATA, WRITE
from vmio.vmbus.storage.storvsp import StorVsp

SECRET = b"the guest's own."
MAC, FAR = bytes.fromhex("00155d000001"), bytes.fromhex("020000000009")
POOL_KIB, RING_KIB = 256, 16
ROUNDS, ACTS_AT = 12, 3          # of the guest's work; when the host attacks
AT_ONCE, BLOCK = 4, 96 << 10     # requests of a round, and bytes of each: more than the pool holds at a time
LIMIT = 400_000_000_000         # ns: a driver waits 60 s for an answer before it gives up
MOST_ANSWERS = 16                # that nobody waits for, and a driver keeps
Answers = list[tuple[bytes, int]]


class Twisted:
    """A request whose answers, (bytes, transaction id) each, are what `world.twist` makes of the honest one."""

    def __init__(self, world: "HostWorld", request: Answerable) -> None:
        self.world, self.request = world, request

    def complete(self, payload: Buffer, transaction_id: int) -> bool:
        """Send the first answer in its place, and all further ones beside it; none at all is a request that nobody answers."""
        twist = self.world.twist
        answers = [(bytes(payload), transaction_id)] if twist is None else twist(bytes(payload), transaction_id)
        for more, number in answers[1:]:
            self.world.disk_end.send_completion(more, number)
        return self.request.complete(*answers[0]) if answers else self.request.end()

    def end(self) -> bool:
        """End it without an answer."""
        return self.request.end()


class HostWorld:
    """`guest`, `host`; `disk_end` and `card_end` are the host's ends of the guest's channels, `client` the guest's bus driver."""

    def __init__(self) -> None:
        world = self

        class Half(StorVsp):
            def packet(self, request: Answerable, packet: Packet, primary: bool = True) -> None:
                super().packet(Twisted(world, request), packet, primary)

        class Disk(SplitDisk):
            host_half = Half
        self.image = Image(bytearray(2 << 20))
        self.cable = Cable()
        self.attached = Disk(ring_kib=RING_KIB, channels=1, confidential=True, pool_kib=POOL_KIB, roomy=False)
        card = self.network = SplitNet(MAC, ring_kib=RING_KIB, confidential=True, pool_kib=POOL_KIB)
        self.room = max(self.attached.driver_memory, card.driver_memory)
        self.secret = self.room + AT_ONCE * BLOCK          # behind the requests' buffers
        machine = Machine(memory_mib=48)
        planned = machine.guest("victim", self.attached, self.image, ram_mib=(self.secret >> 20) + 2).attach(card, backend=self.cable.ends[0])
        self.planned, self.guest, self.host = planned, planned.make().guest, machine.host
        machine.power_on()
        self.cable.ends[1].connect(self)
        self.twist: Callable[[bytes, int], Answers] | None = None
        self.act: Callable[[HostWorld], object] | None = None
        self.loot = bytearray()             # what the host has looked at, or heard
        self.told: dict[str, int] = {}      # who noticed something, and how often
        self.effects: list[str] = []        # other signs of harm
        self.finished = False
        self.disk: StorVsc
        self.card: NetVsc

    # What the host has.

    @property
    def disk_end(self) -> ChannelEnd:
        """The host's end of the disk's channel."""
        return self._end(self.attached.vsp.channel)

    @property
    def card_end(self) -> ChannelEnd:
        """The host's end of the network card's channel."""
        return self._end(self.network.vsp.channel)

    @staticmethod
    def _end(channel: Any) -> ChannelEnd:
        assert channel is not None and channel.end is not None
        return channel.end

    def raw(self, record: bytes, write: int | None = None) -> None:
        """Put bytes into the disk's ring where the next record goes, publish them (or the index `write`), and interrupt."""
        end = self.disk_end
        memory, size = end.outgoing.memory, end.outgoing.size
        at = memory.load32(WRITE)
        for n, byte in enumerate(record):
            memory.write(DATA + (at + n) % size, bytes([byte]))
        memory.store32(WRITE, (at + len(record)) % size if write is None else write)
        end.signal()

    # The cable's other end: the host's network.

    def receive(self, frame: bytes) -> bool:
        """See `Station`."""
        self.loot += frame
        return True

    def link_changed(self, up: bool) -> None:
        """See `Station`."""

    # The guest.

    @property
    def client(self) -> Any:
        """The guest's bus driver."""
        return self.disk.client

    def notice(self, what: str, number: int = 1) -> None:
        """Somebody has noticed something."""
        if number:
            self.told[what] = self.told.get(what, 0) + number

    def program(self, cpu: VCpu, disk: StorVsc, card: NetVsc) -> Steps[None]:
        """What the guest does all day."""
        self.disk, self.card = disk, card
        cpu.write(self.secret, SECRET * (PAGE // len(SECRET)))
        lives = {"disk": True, "card": True}
        for number in range(ROUNDS):
            if number == ACTS_AT:
                self.host.at(cpu.now, self._attack)
                yield from cpu.hlt(1000)
            for name, work in (("disk", self._use_disk(cpu, disk)), ("card", self._use_card(cpu, card, number))):
                if lives[name]:
                    try:
                        yield from work
                    except DriverError as error:
                        lives[name] = False
                        self.notice(f"{name} given up: {error}")
        self.finished = True

    def _attack(self, _event: Event) -> None:
        if self.act is not None:
            self.act(self)

    def _use_disk(self, cpu: VCpu, disk: DiskDriver) -> Generator[Any, Any, None]:
        """Reads, some at a time; a request that fails is counted, one that ends twice is not what a driver promises."""
        yield from cpu.pay()
        asked = set(range(AT_ONCE))
        for n in asked:
            disk.submit("read", n * BLOCK // 512, BLOCK // 512, self.room + n * BLOCK, n)
        disk.flush_ring()
        over: list = []
        while not asked <= {tag for tag, _ in over}:
            yield from disk.wait()
            over += disk.reap()
        self.notice("requests failed", sum(error is not None for _, error in over))
        if len(over) > AT_ONCE:
            self.effects.append("a request has ended twice")

    def _use_card(self, cpu: VCpu, card: NetVsc, number: int) -> Generator[Any, Any, None]:
        """A frame comes, and goes back with what was in it."""
        self.cable.ends[1].send(MAC + FAR + b"\x08\0" + number.to_bytes(2, "big") * 25)
        yield from cpu.hlt(1_000_000, watchdog_ns=1_000_000)
        for frame in card.reap():
            card.send(FAR + MAC + frame[12:1514])
        while card.pending:
            yield from card.wait()

    # Running and judging.

    def run(self, act: Callable[["HostWorld"], object]) -> Outcome:
        """Let the guest work, and the host attack it; what came of it."""
        self.act = act
        stopped: str | None = None
        try:
            self.planned.machine.run((self.planned, self.program), limit_ns=LIMIT)
        except (DriverError, GuestFault) as error:
            self.notice(f"guest stopped itself: {error}")
        except GuestTimeout as error:
            stopped = f"no progress: {error}"
        except Stuck as error:
            stopped = f"the watchdog stopped the guest: {error}"
        except Exception as error:  # noqa: BLE001  whatever it is: it has left the guest's driver
            stopped = f"{type(error).__name__} left the guest's driver: {error}"
        self._count()
        changed = [] if self.guest.memory.read(self.secret, PAGE) == SECRET * (PAGE // len(SECRET)) else ["guest's RAM"]
        if stopped is None and hasattr(self, "card") and len(self.card.replies) > MOST_ANSWERS:
            stopped = f"the driver keeps {len(self.card.replies)} answers that nobody waits for"
        outcome = judge(stopped, {}, None, changed, self._leaked(), self.told)._replace(refused=dict(self.told))
        if self.effects and stopped is None:
            harm = tuple(dict.fromkeys((*outcome.crossed, *self.effects)))
            return outcome._replace(verdict=FAIL, evidence="; ".join(harm), crossed=harm)
        return outcome

    def _count(self) -> None:
        """What drivers and hypervisor counted of this."""
        pages = self.guest.isolation
        if pages is not None:
            self.notice("writes refused", pages.refused)
            self.notice("pages read as ciphertext", pages.private_reads)
        if hasattr(self, "disk"):
            self.notice("answers to nothing", self.disk.unknown)
            self.notice("network messages that make no sense", self.card.unknown)
            self.notice("completions that say no", self.card.refused)
            self.notice("bus messages ignored", self.client.ignored)
            self.notice("devices not taken", self.client.trust.refused_offers)
            self.notice("slots of the bounce pool that nobody gave back", self.client.pool.used)

    def _leaked(self) -> list[str]:
        """The secret, wherever the host can look."""
        places = (self.loot, self.image.read(0, self.image.sectors),
                  b"".join(self.guest.seen.read(page * PAGE, PAGE) for page in sorted(self.guest.isolation.access)))  # type: ignore[union-attr]
        return ["guest's RAM"] if any(SECRET in each for each in places) else []

