"""What a host can change on the way of a guest's letters, and whether anybody notices: frames of a network, and a device that was passed through.

    tampering_way.run("send a letter twice", protected=True)        "noticed"
    Protections(tags=True).outcomes()                               all changes, the disk's too, with these protections and no others

Three letters go over the wire, in clear or in TLS 1.3's records; a fourth is kept in a device, plain or bound by TDISP.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vmio.drivers.errors import DriverError
from vmio.experiments.params import param
from vmio.experiments.tampering import GARBLED, KEPT, NOTICED, TAMPERINGS as ON_DISK, UNNOTICED, run as on_disk
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.crypto.records import Opener, RecordRefused, Sealer
from vmio.modes import Machine
from vmio.modes.edu_assigned import AssignedEdu, EduDisk

LETTERS = tuple(text.encode() for text in ("Pay Ann 100.", "Pay Bob 900.", "Pay Eve 5.  "))
OTHERS = b"Pay the host 1,000.".ljust(64, b".")
SECRET = b"what the connection's secrets are made of, once"


def _flip(frames: Sequence[bytes]) -> list[bytes]:
    """A bit of the second frame."""
    bent = bytearray(frames[1])
    bent[8] ^= 1
    return [frames[0], bytes(bent), frames[2]]


FRAMES: dict[str, Callable[[Sequence[bytes]], Sequence[bytes]]] = {
    "flip a bit of a letter": _flip,
    "send a letter twice": lambda frames: [frames[0], frames[1], frames[1], frames[2]],
    "let two letters change places": lambda frames: [frames[0], frames[2], frames[1]],
    "take a letter away": lambda frames: [frames[0], frames[2]],
    "take the last letter away": lambda frames: frames[:2]}
BAR = "let another device answer"
TAMPERINGS = (*FRAMES, BAR)


@dataclass(frozen=True)
class Protections:
    """Which of a guest's protections are there: two for its disk, one for the wire, one for its own device."""

    encrypted: bool = param(True, "the guest encrypts its disk by AES-XTS, so that the host can't read it", flag=True)
    tags: bool = param(False, "beside each sector of the disk lies a tag that only the guest can make", flag=True)
    records: bool = param(False, "what goes over the wire is sealed: TLS records, encryption and tag in one", flag=True)
    bound: bool = param(False, "the device that was passed through is bound to the guest by TDISP", flag=True)

    def outcomes(self) -> dict[str, dict[str, str]]:
        """Return what comes of each change, {where: {change: one of the three words}}."""
        kept = KEPT[self.encrypted + 2 * self.tags]
        return {"disk": {change: on_disk(change, kept).what for change in ON_DISK},
                "wire": {change: run(change, self.records) for change in FRAMES},
                "device": {BAR: run(BAR, self.bound)}}


def run(tampering: str, protected: bool) -> str:
    """Return whether it is noticed, garbles a letter, or goes unnoticed; ValueError for what is none of `TAMPERINGS`."""
    if tampering not in TAMPERINGS:
        raise ValueError(f"tampering {tampering!r}: choose one of {', '.join(TAMPERINGS)}")
    return _device(protected) if tampering == BAR else _wire(FRAMES[tampering], protected)


def _wire(change: Callable[[Sequence[bytes]], Sequence[bytes]], protected: bool) -> str:
    sealer, opener = Sealer(SECRET), Opener(SECRET)
    frames = change([sealer.seal(text) if protected else text for text in LETTERS])
    try:
        found = [opener.open(frame) if protected else frame for frame in frames]
    except RecordRefused:
        return NOTICED
    return GARBLED if any(byte > 0x7E or byte < 0x20 for text in found for byte in text) else UNNOTICED


def _device(protected: bool) -> str:
    """The guest stores a letter in the device and loads it again; between the two another device takes the place of the first."""
    device = AssignedEdu(protected, confidential=True, pool_kib=256)
    room = device.driver_memory
    guest = Machine().guest(None, device, None, (room >> 20) + 1)
    guest.machine.power_on()
    letter = LETTERS[0].ljust(64, b".")

    def program(cpu: VCpu, disk: EduDisk) -> Steps[str]:
        cpu.write(room, letter)
        yield from disk.store(room, len(letter))
        device.repoint(OTHERS)
        try:
            yield from disk.load(room, len(letter))
        except DriverError:
            return NOTICED
        return UNNOTICED if cpu.read(room, len(letter)) == OTHERS else GARBLED
    found: str = guest.run(program)
    return found
