"""Attacks by what a disk answers: twice, to nothing, too much, or not at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vmio.attacks.defence import without
from vmio.attacks.hostile_host.catalogue import HostAttack
from vmio.attacks.hostile_host.trusting import as_much_as_it_says, ids_are_pointers
from vmio.attacks.hostile_host.world import Answers, HostWorld
from vmio.attacks.verdict import FAIL, REJECT, WEDGED
from vmio.drivers.confidential.swiotlb import Swiotlb
from vmio.drivers.storvsc import QUEUE_DEPTH
from vmio.vmbus.storage import vstor as v

STORVSC = "Linux drivers/scsi/storvsc_drv.c"
_MOVED, _SENSE = v.SRB.slice("transfer_length"), v.SRB.slice("sense_length")
_SRB, _SCSI = v.SRB.slice("srb_status"), v.SRB.slice("scsi_status")
_TAKE = "drivers.storvsc_queue:StorQueue._take"


def _twisted(twist: Callable[[bytes, int], Answers], times: int = 1) -> Callable[[HostWorld], None]:
    """What makes `times` answers from now on something else."""
    def act(world: HostWorld) -> None:
        left = times

        def each(answer: bytes, number: int) -> Answers:
            nonlocal left
            left -= 1
            return twist(answer, number) if left >= 0 else [(answer, number)]
        world.twist = each
    return act


def _with(answer: bytes, *changes: tuple[slice, int]) -> bytes:
    """The answer with other numbers in some fields."""
    changed = bytearray(answer)
    for where, value in changes:
        changed[where] = value.to_bytes(where.stop - where.start, "little")
    return bytes(changed)


def _unit_attention(answer: bytes) -> bytes:
    """CHECK CONDITION: the capacity has changed, please ask again."""
    sense = bytes((0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x2A, 9)).ljust(v.SENSE_SIZE, b"\0")
    at = v.SRB.slice("cdb").start
    changed = _with(answer, (_SRB, v.SRB_ERROR | v.SENSE_VALID), (_SCSI, v.CHECK_CONDITION), (_SENSE, v.SENSE_SIZE))
    return changed[:at] + sense + changed[at + len(sense):]


@contextmanager
def shared_slots(world: HostWorld) -> Iterator[None]:
    """A pool that gives out slots which are in use, as there are no others."""
    def find(self: Swiotlb, slots: int, odd: int, area: int) -> int | None:
        found = real(self, slots, odd, area)
        if found is not None:
            return found
        world.effects.append("data of two requests are in one slot of the pool")
        return odd + 2 * len(world.effects)
    with without(Swiotlb, "_find", find) as real:
        yield


ATTACKS = [
    HostAttack("completion-twice", "The same answer twice", "a request is answered once", f"{STORVSC} (storvsc_on_channel_callback)", "disk",
               _twisted(lambda answer, number: [(answer, number), (answer, number)]), _TAKE,
               "an id is looked up among requests that are under way", ids_are_pointers, REJECT, FAIL),
    HostAttack("completion-unknown", "Answers with id 0, and with one more than there are", "an answer has the id of a request",
               "Linux drivers/hv/channel.c (vmbus_request_addr)", "disk",
               _twisted(lambda answer, number: [(answer, number), (answer, 0), (answer, QUEUE_DEPTH + 1)]), _TAKE,
               "ids are numbers in a table, and not addresses", ids_are_pointers, REJECT, WEDGED),
    HostAttack("transfer-length", "More bytes moved than were asked for", "an answer moves what was asked for at most",
               f"{STORVSC} (storvsc_on_io_completion: data_transfer_length)", "disk",
               _twisted(lambda answer, number: [(_with(answer, (_MOVED, 0x6_0000)), number)], 4), "drivers.storvsc_queue:_outcome",
               "the buffer's length is the guest's own", as_much_as_it_says, REJECT, FAIL),
    HostAttack("sense-length", "255 bytes of sense data, where 20 have room", "sense data fits in its field",
               f"{STORVSC} (storvsc_on_io_completion: sense_info_length)", "disk",
               _twisted(lambda answer, number: [(_with(answer, (_SRB, v.SRB_ERROR | v.SENSE_VALID), (_SENSE, 255)), number)]),
               "drivers.storvsc_queue:_outcome", "the length is cut to the field's", None, REJECT, None),
    HostAttack("attention-for-ever", "Each request is answered: ask again", "a request is tried so many times and no more",
               "Linux drivers/scsi/sd.h (SD_MAX_RETRIES)", "disk",
               _twisted(lambda answer, number: [(_unit_attention(answer), number)], 1 << 30), _TAKE, "five times, then it has failed", None, REJECT, None),
    HostAttack("pool-exhaustion", "No request is answered any more, and their data fill the bounce pool", "a full pool makes others wait",
               "Linux kernel/dma/swiotlb.c (swiotlb_tbl_map_single: swiotlb buffer is full)", "disk", _twisted(lambda answer, number: [], 1 << 30),
               "drivers.confidential.swiotlb:Swiotlb._find", "who finds no slot waits, and gives up after 60 s", shared_slots, REJECT, FAIL),
]
