"""Attacks by what a network card says: offsets, sizes, sections and answers."""

from vmio.attacks.hostile_host.catalogue import HostAttack
from vmio.attacks.hostile_host.trusting import any_section, blocks_of_any_size, every_answer_is_kept, sums_that_wrap, whole_completions
from vmio.attacks.hostile_host.world import HostWorld
from vmio.attacks.verdict import FAIL, REJECT, WEDGED
from vmio.machine.memory import PAGE
from vmio.vmbus.bus.packets import TRANSFER_PAGES, TransferPages
from vmio.vmbus.net import nvsp as n
from vmio.vmbus.net import rndis as r

RNDIS = "Linux drivers/net/hyperv/rndis_filter.c"
_FRAME = "drivers.netvsc_receive:frame"


def forge(world: HostWorld, message: bytes, offset: int | None = None, length: int | None = None) -> None:
    """Put an RNDIS message into the receive buffer, at a section's place or at `offset`, and tell the guest of it."""
    vsp, end = world.network.vsp, world.card_end
    buffer = vsp.receive_buffer
    assert buffer is not None
    if offset is None:
        offset = (buffer.put(message) or 0) * buffer.section_bytes
    else:
        buffer.window.write(offset, message)
    number, vsp._next_id = vsp._next_id, vsp._next_id + 1
    vsp.outstanding[number] = 0, []
    payload = n.RNDIS_PKT.pack(channel_type=n.DATA, section=n.NO_SECTION).ljust(n.size(vsp.version), b"\0")
    end._send(TRANSFER_PAGES, payload, number, 0, TransferPages(n.RECEIVE_BUFFER, ((length or len(message), offset),)), False)  # type: ignore[arg-type]
    end.signal()


def _packet(data: bytes = bytes(60), blocks: bytes = b"", **fields: int) -> bytes:
    at = r.FIRST_PPI + len(blocks)
    said = {"length": r.BODY + at + len(data), "data_offset": at, "data_length": len(data), "ppi_offset": r.FIRST_PPI if blocks else 0,
            "ppi_length": len(blocks), **fields}
    return r.PACKET.pack(**said) + blocks + data


def offset_wraps(world: HostWorld) -> None:
    """A frame that begins almost 4 GiB behind the message: offset and length add up to something small."""
    forge(world, _packet(data_offset=0xFFFF_FF00, data_length=0x120))


def endless_blocks(world: HostWorld) -> None:
    """Per-packet information whose first block has no size."""
    forge(world, _packet(blocks=r.PPI.pack(size=0, type=r.VLAN, data=[0])))


def section_beyond(world: HostWorld) -> None:
    """A message that begins in the buffer's last bytes and ends in the guest's private memory, its frame where the secret lies."""
    size, head = world.card.receive_bytes, r.PACKET.size
    offset = size - PAGE
    distance = world.secret - world.card.receive_at - offset
    whole = distance + 512
    forge(world, r.PACKET.pack(length=whole, data_offset=distance - r.BODY, data_length=256)[:head], offset, whole)


def short_completion(world: HostWorld) -> None:
    """An answer of no bytes at all, to a record that the guest will send."""
    for number in range(64):
        world.card_end.send_completion(b"", number)


def answers_to_nothing(world: HostWorld) -> None:
    """A hundred answers to requests that nobody has made."""
    for number in range(100):
        forge(world, r.SET_COMPLETE.pack(length=r.SET_COMPLETE.size, id=0x1000 + number))


ATTACKS = [
    HostAttack("rndis-offset", "A frame almost 4 GiB behind its message", "a frame lies within its message", f"{RNDIS} (rndis_filter_receive_data)",
               "network card", offset_wraps, _FRAME, "sums are compared that can't wrap", sums_that_wrap, REJECT, WEDGED),
    HostAttack("ppi-endless", "A block of per-packet information without a size", "a block has at least its own head", f"{RNDIS} (rndis_get_ppi)",
               "network card", endless_blocks, "drivers.netvsc_receive:beside", "each block's size is looked at", blocks_of_any_size, REJECT, WEDGED),
    HostAttack("section-beyond", "A section that ends in the guest's private memory", "a section lies within the receive buffer",
               "Linux drivers/net/hyperv/netvsc.c (netvsc_receive)", "network card", section_beyond, "drivers.netvsc_queue:NetQueue._take",
               "offset and length are compared with the buffer's", any_section, REJECT, FAIL),
    HostAttack("completion-empty", "An answer of no bytes", "an answer is as long as its fields",
               "Linux drivers/net/hyperv/netvsc.c (netvsc_send_completion)", "network card", short_completion,
               "drivers.netvsc_queue:NetQueue._completed", "its length is looked at first", whole_completions, REJECT, WEDGED),
    HostAttack("answers-hoard", "A hundred answers to requests that nobody made", "an answer is kept for who waits for it",
               f"{RNDIS} (rndis_filter_receive_response)", "network card", answers_to_nothing, "drivers.netvsc_queue:NetQueue._message",
               "one request is under way at a time, and its id is known", every_answer_is_kept, REJECT, WEDGED),
]
