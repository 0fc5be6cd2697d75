"""Attacks by SCSI requests: past the disk's end, foreign buffers, buffers too small, bytes left over in answers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from vmio.attacks.catalogue import collection
from vmio.attacks.defence import without
from vmio.attacks.split import SplitWorld
from vmio.attacks.talker import read10, write10
from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED
from vmio.attacks.world import CANARY, SECTORS
from vmio.host.physical import Slice
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.window import Window
from vmio.vmbus.storage import vstor as v
from vmio.vmbus.storage.scsi import Answer, Media, ScsiTarget
from vmio.vmbus.storage.srb import Srb

SBC, OPENVMM = "SBC-3, \"READ (10) command\"", "OpenVMM vm/devices/storage/storvsp"
ATTACKS, attack = collection("scsi", "split", SplitWorld, "rings")


@contextmanager
def endless_disk(world: SplitWorld) -> Iterator[None]:
    """Nobody compares a request's sectors with the disk's: a guest's slice ends where it likes."""
    def media(self: ScsiTarget, op: str, lba: int, sectors: int, flags: int = 0) -> Media:
        return Media(op, lba, sectors)

    def submit(self: Slice, guest: str, op: str, lba: int, sectors: int, pages: Sequence[int],
               done: Callable[[int], None]) -> None:
        self.layer.submit(guest, op, self.first + lba, sectors, pages, done)
    with without(ScsiTarget, "_media", media), without(Slice, "submit", submit):
        yield


@attack("scsi-read-past-the-end", "Read sectors after the disk's last", "LBA out of range is CHECK CONDITION", SBC,
        "LBA and length are compared with the disk's size", endless_disk, REJECT, FAIL, wall="disk's size check")
def read_past(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    yield from talker.srb(read10(SECTORS, 8), 4096)


@attack("scsi-write-past-the-end", "Write sectors after the disk's last", "LBA out of range is CHECK CONDITION", SBC,
        "LBA and length are compared with the disk's size", endless_disk, REJECT, FAIL, wall="disk's size check")
def write_past(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    yield from talker.srb(write10(SECTORS + 248, 8), 4096, v.TO_DEVICE)


@contextmanager
def dirty_buffer(world: SplitWorld) -> Iterator[None]:
    """An answer is built in a buffer of the host's that held something else, and all the guest asked for is copied."""
    def over(self: Srb, result: Answer, transfer: int, direction: int) -> Any:
        stale = world.host.memory.read(world.secret, 4096)[:transfer]
        return real(self, result._replace(data=result.data + stale[len(result.data):]), transfer, direction)
    with without(Srb, "_over", over) as real:
        yield


@attack("scsi-short-answer", "Ask for more bytes than the answer has", "bytes beyond the answer's length are not touched",
        "SPC-4, \"Allocation length\"", "only the answer's own bytes are copied", dirty_buffer, PASS, FAIL,
        wall="answer's length")
def short_answer(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    yield from talker.srb(bytes((0x12, 0, 0, 0x10, 0, 0)), 4096)      # INQUIRY, 4,096 bytes
    yield from talker.srb(bytes((0x25,)) + bytes(9), 4096)            # READ CAPACITY(10): 8 bytes


@attack("scsi-buffer-too-small", "Read two pages into a buffer of one", "no byte goes beyond the buffer", OPENVMM,
        "transfer length against the range's bytes", lambda world: without(Srb, "_room_for", lambda *_: True), REJECT, FAIL,
        wall="VSP's range check")
def too_small(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    yield from talker.srb(read10(0, 16), 8192, count=4096)


def arithmetic(world: SplitWorld) -> AbstractContextManager:
    """A page number is added to where the guest's RAM begins, and that is all."""
    def pages(self: Srb, length: int, access: int) -> list[int]:
        _, offset, numbers = self.ranges[0]
        spas = [self.vsp.guest.ram_spa(0) + (number << 12) for number in numbers[:offset + length + 0xFFF >> 12]]
        spas[0] += offset
        return spas
    return without(Srb, "_pages", pages)


def foreign_page(world: SplitWorld) -> int:
    """Return the number of a page of the neighbour's, as one of ours would be counted."""
    return world.neighbour.ram_spa(CANARY) - world.attacker.ram_spa(0) >> 12


@attack("scsi-into-foreign-page", "Read from the disk into a neighbour's page", "a request names the guest's own RAM", OPENVMM,
        "every page is translated by the guest's table", arithmetic, REJECT, FAIL, wall="VSP's page check")
def into_foreign(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    yield from talker.srb(read10(0, 8), 4096, pages=(foreign_page(world),))


@attack("scsi-from-foreign-page", "Write a neighbour's page to one's own disk", "a request names the guest's own RAM", OPENVMM,
        "every page is translated by the guest's table", arithmetic, REJECT, FAIL, wall="VSP's page check")
def from_foreign(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    yield from talker.srb(write10(0, 8), 4096, v.TO_DEVICE, pages=(foreign_page(world),))


@attack("scsi-into-foreign-ring", "Read from the disk into the control page of a neighbour's ring",
        "a request names the guest's own RAM", OPENVMM, "every page is translated by the guest's table", arithmetic, REJECT, WEDGED,
        wall="VSP's page check")
def into_ring(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    ring, _ = world.neighbours_rings
    assert isinstance(ring, Window)            # a driver's, over pages of its RAM
    page = world.neighbour.ram_spa(ring.pages[0] << 12) - world.attacker.ram_spa(0) >> 12
    yield from talker.srb(read10(0, 8), 4096, pages=(page,))
