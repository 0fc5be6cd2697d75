"""What does the host see of a guest's secret?  One letter is written to a disk and read back, in any mode, and looked for afterwards.

    found = secrets.run(SecretsParams("split", encrypt="guest"))
    found.hits                  {"the disk": 0, "the device": 0, "the rings": 0, "the guest's RAM": 32}

The letter is lines of the same sentence; `hits` says how many of them are in what each place has held.  A place is whatever
a curious administrator of the host can look at without the guest's help.  The keys are the guest's or the host's own, made of
`seed`: keys of a lesson, not of a vault.
"""

import random
from dataclasses import dataclass

from vmio.drivers.contracts import DiskDriver
from vmio.drivers.crypt import CryptDisk
from vmio.experiments import params
from vmio.experiments.mark import Mark
from vmio.experiments.params import param
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Buffer, Sectors
from vmio.machine.media.encrypted import Encrypted, xts
from vmio.machine.media.medium import Medium
from vmio.machine.storage import SECTOR, Image
from vmio.modes import Machine, attachment
from vmio.modes.disk_split import SplitDisk

MODES = ("emulated", "split", "passthrough")
WHO = ("nobody", "host", "guest")
MARK = b"the host must never see this."
LINE = 64               # bytes, from one mark to the next
DISK, DEVICE, RINGS, RAM = "the disk", "the device", "the rings", "the guest's RAM"
FIRST = 64              # sector at which the letter begins


@dataclass(frozen=True)
class SecretsParams:
    """What `run` does; `costs` is the name of a preset, or a `CostModel` with prices of your own."""

    mode: str = param("split", "how the guest reaches its disk", choices=MODES)
    encrypt: str = param("nobody", "who encrypts the disk: nobody, the host below the guest's disk, or the guest itself", choices=WHO)
    bytes: int = param(8192, "length of the letter", unit="bytes", low=4096, high=1 << 20, multiple=4096, scale="log2")
    block: int = param(4096, "size of a request", unit="bytes", low=4096, high=65536, multiple=4096, scale="log2")
    keep: bool = param(True, "whether the letter stays in RAM at the end, or is overwritten", option="forget", flag=False)
    seed: int = param(1, "makes the keys", low=0, high=1 << 32)
    costs: str | CostModel = param("server-2022", "cost preset")

    def check(self) -> "SecretsParams":
        """Return these parameters; ValueError names the parameter, its value and what is allowed."""
        params.check(self)
        if self.encrypt == "host" and self.mode == "passthrough":
            raise ValueError("encrypt host: not in passthrough, where the host has no hand in a request; the guest can, or nobody")
        if self.bytes % self.block:
            raise ValueError(f"block {self.block}: the letter's {self.bytes:,} bytes are no whole number of them")
        CostModel.preset(self.costs)
        return self


@dataclass(frozen=True)
class Found:
    """What came of it: `hits` {place: lines of the letter that were found there}; exits, the guest's processor time for encryption, and the whole time."""

    params: SecretsParams
    hits: dict[str, int]
    lines: int
    intact: bool            # what the guest read back is its letter
    exits: int
    crypt_ns: int
    ns: int
    disk: bytes             # what lies on the disk where the letter is


class Seen(Medium):
    """Passes everything on to `base`, and keeps what passed: what a device, or the host's driver, had in its hands."""

    __slots__ = ("base", "name", "sectors", "passed")

    def __init__(self, base: Medium) -> None:
        self.base, self.name, self.sectors = base, base.name, base.sectors
        self.passed: list[bytes] = []

    def read(self, lba: int, count: int = 1) -> Sectors:
        """Return `count` sectors from `lba`."""
        data = self.base.read(lba, count)
        self.passed.append(bytes(data))
        return data

    def write(self, lba: int, data: Buffer) -> None:
        """Store whole sectors from `lba`."""
        self.passed.append(bytes(data))
        self.base.write(lba, data)


def letter(length: int) -> bytes:
    """Return the secret, `length` bytes, a mark in every line of 64 bytes."""
    return b"".join(b"%06d " % n + MARK.ljust(LINE - 8) + b"\n" for n in range(length // LINE))


def key(seed: int) -> bytes:
    """Return a key of 64 bytes for AES-256-XTS."""
    return random.Random(f"secrets {seed}").randbytes(64)


class Writer:
    """The guest's program: write the letter, read it back, and overwrite it in RAM unless it is to be kept there."""

    def __init__(self, wanted: SecretsParams) -> None:
        self.wanted, self.intact, self.exits, self.crypt_ns, self.ns = wanted, False, 0, 0, 0

    def program(self, cpu: VCpu, disk: DiskDriver, room: int) -> Steps[None]:
        """Use the guest's RAM from `room` on: for the letter, for its copy, for ciphertext on its way."""
        wanted, length = self.wanted, self.wanted.bytes
        if wanted.encrypt == "guest":
            buffers = range(room + 2 * length, room + 3 * length, wanted.block)
            disk = CryptDisk(cpu, disk, xts(key(wanted.seed)), list(buffers), wanted.block, cpu.costs.xts_rate)
        mark = Mark(cpu, cpu)
        secret = letter(length)
        cpu.write(room, secret)
        yield from self._pass(cpu, disk, "write", room)
        yield from self._pass(cpu, disk, "read", room + length)
        self.intact = cpu.read(room + length, length) == secret
        if not wanted.keep:
            cpu.write(room, bytes(3 * length))
        self.exits, self.ns = sum(mark.by(lambda row: row.reason).values()), cpu.now - mark.now
        self.crypt_ns = disk.crypt_ns if isinstance(disk, CryptDisk) else 0

    def _pass(self, cpu: VCpu, disk: DiskDriver, op: str, gpa: int) -> Steps[None]:
        """One request after the other, from or to RAM at `gpa`."""
        sectors = self.wanted.block // SECTOR
        for at in range(0, self.wanted.bytes, self.wanted.block):
            yield from carry(disk, op, FIRST + at // SECTOR, sectors, gpa + at)


def carry(disk: DiskDriver, op: str, lba: int, sectors: int, gpa: int) -> Steps[None]:
    """One request, from or to RAM at `gpa`, and nothing else until it has ended; raises what it ended with."""
    disk.submit(op, lba, sectors, gpa, op)
    disk.flush_ring()
    over: list = []
    while not over:
        yield from disk.wait()
        over = disk.reap()
    if over[0][1] is not None:
        raise over[0][1]


def run(wanted: SecretsParams) -> Found:
    """Write the letter, read it back, and look for it everywhere; ValueError for parameters that cannot be."""
    wanted.check()
    image = Image(bytearray((FIRST + wanted.bytes // SECTOR) * SECTOR))
    seen = Seen(Encrypted(image, key(wanted.seed)) if wanted.encrypt == "host" else image)
    machine, writer = Machine(wanted.costs), Writer(wanted)
    device = attachment("disk", wanted.mode, **({"transfer": "dma"} if wanted.mode == "emulated" else {}))
    room = device.driver_memory
    guest = machine.guest(None, device, seen, (room + 3 * wanted.bytes >> 20) + 1)
    machine.power_on()
    guest.run(lambda cpu, disk: writer.program(cpu, disk, room))
    places = {DISK: bytes(image.read(0, image.sectors)), DEVICE: b"".join(seen.passed)}
    if isinstance(device, SplitDisk):
        channel = device.vsp.channel
        ends = [channel.end] if channel is not None and channel.end is not None else []
        places[RINGS] = b"".join(ring.memory.read(0, ring.memory.size) for end in ends for ring in (end.incoming, end.outgoing))
    places[RAM] = guest.guest.memory.read(0, guest.guest.ram)
    return Found(wanted, {place: held.count(MARK) for place, held in places.items()}, wanted.bytes // LINE, writer.intact,
                 writer.exits, writer.crypt_ns, writer.ns, bytes(image.read(FIRST, wanted.bytes // SECTOR)))
