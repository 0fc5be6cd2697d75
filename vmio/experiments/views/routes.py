"""The four routes by which a guest's letter leaves it: to a split disk, over a split network card or a socket, into a device that was passed through."""

from collections.abc import Callable
from dataclasses import dataclass, field

from vmio.drivers.contracts import DiskDriver, NetDriver
from vmio.drivers.container.sealed_socket import SealedSocket
from vmio.drivers.container.sockets import Sockets
from vmio.drivers.crypt import CryptDisk
from vmio.drivers.sealed import SealedNet
from vmio.experiments.mark import Mark
from vmio.experiments.secrets import FIRST, LINE, Seen as Passing, carry, key, letter
from vmio.experiments.views.result import BYTES, DISK, LOG, POOL, POOL_KIB, RAM, RINGS, WIRE, Seen, View, ViewsParams
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.crypto.keys import expanded
from vmio.machine.crypto.records import Opener, Sealer
from vmio.machine.media.encrypted import xts
from vmio.machine.net.cable import Cable
from vmio.machine.pagetable import WRITE
from vmio.machine.probes import watch
from vmio.machine.storage import SECTOR, Image
from vmio.modes import GuestMachine, Machine
from vmio.modes.disk_split import SplitDisk
from vmio.modes.edu_assigned import AssignedEdu, EduDisk
from vmio.modes.net_split import SplitNet
from vmio.modes.sockets_split import SplitSockets
from vmio.vmbus.bus.host_channel import HostChannel
from vmio.vmbus.socket.host_socket import HostSocket
from vmio.vmbus.socket.wire import service_of

US, PEER = bytes.fromhex("525400123456"), bytes.fromhex("525400abcdef")
PLAIN = b"\x88\xb6"        # the type of a frame in clear, for local experiments too
CHUNK = 1024                        # bytes of the letter in a frame, or in a record of a socket
RELAY = service_of(0x4000_0000)     # who takes the letter from the guest's socket
SECRET = letter(BYTES)


@dataclass
class Counted:
    """What the guest's program has measured."""

    intact: bool = False
    exits: int = 0
    crypt_ns: int = 0
    ns: int = 0
    parts: list[bytes] = field(default_factory=list)

    def stop(self, cpu: VCpu, mark: Mark) -> None:
        """The program is over."""
        self.exits, self.ns = sum(mark.by(lambda row: row.reason).values()), cpu.now - mark.now


def _seen(wanted: ViewsParams, guest: GuestMachine, room: int, counted: Counted, places: dict[str, bytes | None], bounced: int) -> Seen:
    """The guest's RAM is looked at where the letter was written."""
    places[RAM] = guest.guest.seen.read(room, 3 * BYTES)
    return Seen(wanted, {place: None if held is None else View(held) for place, held in places.items()}, BYTES // LINE,
                counted.intact, counted.exits, bounced, counted.crypt_ns, counted.ns)


def _rings(channel: HostChannel | None) -> bytes:
    end = None if channel is None else channel.end
    return b"" if end is None else b"".join(ring.memory.read(0, ring.memory.size) for ring in (end.incoming, end.outgoing))


def _disk(wanted: ViewsParams) -> Seen:
    """Written to the disk and read back, a request of 4 KiB each."""
    image = Image(bytearray((FIRST + BYTES // SECTOR) * SECTOR))
    passing, device, counted = Passing(image), SplitDisk(confidential=wanted.isolated, pool_kib=POOL_KIB), Counted()
    room = device.driver_memory
    guest = Machine(wanted.costs).guest(None, device, passing, (room + 3 * BYTES >> 20) + 1)
    guest.machine.power_on()

    def program(cpu: VCpu, disk: DiskDriver) -> Steps[None]:
        if wanted.protected:
            disk = CryptDisk(cpu, disk, xts(key(wanted.seed)), [room + 2 * BYTES], BYTES, cpu.costs.xts_rate)
        mark = Mark(cpu, cpu)
        cpu.write(room, SECRET)
        for op, gpa in (("write", room), ("read", room + BYTES)):
            yield from carry(disk, op, FIRST, BYTES // SECTOR, gpa)
        counted.intact = cpu.read(room + BYTES, BYTES) == SECRET
        counted.stop(cpu, mark)
        counted.crypt_ns = disk.crypt_ns if isinstance(disk, CryptDisk) else 0
    guest.run(program)
    pool = guest.platform.pool
    return _seen(wanted, guest, room, counted, {
        DISK: bytes(image.read(0, image.sectors)), RINGS: _rings(device.vsp.channel),
        POOL: None if pool is None else guest.guest.seen.read(pool.at, pool.size), LOG: b"".join(passing.passed)}, 0 if pool is None else pool.copied)


class Listener:
    """Who is at the other end of the cable: keeps what passes on the wire."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def receive(self, frame: bytes) -> bool:
        """Keep a frame."""
        self.frames.append(frame)
        return True

    def link_changed(self, up: bool) -> None:
        """Nobody pulls this cable."""


def _agreed(wanted: ViewsParams) -> tuple[bytes, bytes]:
    """The secrets of a connection's two directions, from the guest and to it."""
    ours, theirs = (expanded(key(wanted.seed), label, b"", 48, "sha384") for label in ("c ap traffic", "s ap traffic"))
    return ours, theirs


def _net(wanted: ViewsParams) -> Seen:
    """Sent in frames of 1 KiB; the other side opens them."""
    cable, listener, device, counted = Cable(), Listener(), SplitNet(US, confidential=wanted.isolated, pool_kib=POOL_KIB), Counted()
    cable.ends[1].connect(listener)
    room = device.driver_memory
    guest = Machine(wanted.costs).guest(None, None, None, (room + 3 * BYTES >> 20) + 1).attach(device, backend=cable.ends[0])
    guest.machine.power_on()
    ours, theirs = _agreed(wanted)

    def program(cpu: VCpu, card: NetDriver) -> Steps[None]:
        sealed = SealedNet(cpu, card, Sealer(ours), Opener(theirs), cpu.costs.gcm_rate) if wanted.protected else None
        card = sealed or card
        mark = Mark(cpu, cpu)
        cpu.write(room, SECRET)
        for at in range(0, BYTES, CHUNK):
            frame = PEER + US + PLAIN + cpu.read(room + at, CHUNK)
            while not card.send(frame):
                yield from card.wait()
        while card.pending:
            yield from card.wait()
        counted.stop(cpu, mark)
        counted.crypt_ns = sealed.crypt_ns if sealed is not None else 0
    guest.run(program)
    opener = Opener(ours)
    counted.parts = [opener.open(frame[14:])[2:] if wanted.protected else frame[14:] for frame in listener.frames]
    counted.intact = b"".join(counted.parts) == SECRET
    card, pool = device.driver, guest.platform.pool
    buffers = guest.guest.seen.read(card.send_at, card.send_bytes) + (b"" if pool is None else guest.guest.seen.read(pool.at, pool.size))
    return _seen(wanted, guest, room, counted, {WIRE: b"".join(listener.frames), RINGS: _rings(device.vsp.channel), POOL: buffers},
                 0 if pool is None else pool.copied)


def _socket(wanted: ViewsParams) -> Seen:
    """Sent in pieces of 1 KiB to a program of the host's, which hands on what comes: that is what it sees of the wire."""
    device, counted, passed = SplitSockets(confidential=wanted.isolated), Counted(), bytearray()
    room = device.driver_memory
    guest = Machine(wanted.costs).guest(None, device, None, (room + 3 * BYTES >> 20) + 1)
    guest.machine.power_on()
    ours, theirs = _agreed(wanted)
    relays: list[HostSocket] = []

    def accepted(socket: HostSocket) -> None:
        def look() -> None:
            passed.extend(socket.read())
            if socket.ended:
                socket.on_change = None
                socket.send(b"all taken")
        relays.append(socket)
        socket.on_change = look
    device.service.listen(RELAY, accepted)

    def program(cpu: VCpu, sockets: Sockets) -> Steps[None]:
        socket = yield from sockets.connect(RELAY)
        sealed = SealedSocket(socket, Sealer(ours), Opener(theirs), cpu.costs.gcm_rate) if wanted.protected else None
        mark = Mark(cpu, cpu)
        cpu.write(room, SECRET)
        for at in range(0, BYTES, CHUNK):
            yield from (sealed or socket).send(cpu.read(room + at, CHUNK))
        yield from socket.shutdown()
        yield from socket.receive()         # the host's program has taken all
        counted.stop(cpu, mark)
        counted.crypt_ns = sealed.crypt_ns if sealed is not None else 0
    guest.run(program)
    counted.intact = (b"".join(Opener(ours).take(bytearray(passed))) if wanted.protected else passed) == SECRET
    return _seen(wanted, guest, room, counted, {WIRE: bytes(passed), RINGS: _rings(relays[0].channel)}, 0)


def _device(wanted: ViewsParams) -> Seen:
    """Stored in the device and loaded again; of each transfer the host reads the page that it went to or came from."""
    device, counted, log = AssignedEdu(wanted.protected, wanted.isolated, POOL_KIB, wanted.seed), Counted(), []
    room = device.driver_memory
    guest = Machine(wanted.costs).guest(None, device, None, (room + 3 * BYTES >> 20) + 1)
    guest.machine.power_on()

    def moved(access: int, address: int, length: int) -> None:
        log.append(guest.guest.seen.read(address, length) if access != WRITE else b"")
    watch(device.memory, "moved", moved)

    def program(cpu: VCpu, disk: EduDisk) -> Steps[None]:
        mark = Mark(cpu, cpu)
        cpu.write(room, SECRET)
        yield from disk.store(room, BYTES)
        yield from disk.load(room + BYTES, BYTES)
        counted.intact = cpu.read(room + BYTES, BYTES) == SECRET
        counted.stop(cpu, mark)
    guest.run(program)
    pool = device.driver.pool
    return _seen(wanted, guest, room, counted, {POOL: None if pool is None else guest.guest.seen.read(pool.at, pool.size), LOG: b"".join(log)},
                 0 if pool is None else pool.copied)


BY_ROUTE: dict[str, Callable[[ViewsParams], Seen]] = {"disk": _disk, "net": _net, "socket": _socket, "device": _device}
