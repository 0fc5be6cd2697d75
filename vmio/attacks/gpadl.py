"""Attacks with lists of guest pages: pages of others, pages of the hypervisor's, lists that lie, lists without end."""

from vmio.attacks.catalogue import collection
from vmio.attacks.defence import without
from vmio.attacks.split import SplitWorld
from vmio.attacks.verdict import REJECT, WEDGED
from vmio.machine.memory import PAGE
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.gpadl import GpadlTable, Range

LINUX, OPENVMM = "Linux drivers/hv/channel.c", "OpenVMM vm/devices/vmbus/vmbus_server/src/channels.rs"
ATTACKS, attack = collection("gpadl", "split", SplitWorld)


def unchecked(world):
    """Page numbers are taken as they come."""
    return without(GpadlTable, "check", lambda self, pages: None)


def ring_of(world, cpu, pages):
    """Offer `pages` for the rings, and open."""
    talker = yield from world.talk(cpu, ready=False)
    yield from talker.post(*m.gpadl_messages(1, 77, tuple(pages)),
                           m.OPENCHANNEL.pack(relid=1, open_id=1, gpadl=77, downstream_page=4))


@attack("gpadl-foreign-pages", "A ring in pages that are not the guest's", "a GPADL names the guest's own RAM", OPENVMM,
        "each page is looked up in the guest's RAM", unchecked, REJECT, WEDGED)
def foreign(world, cpu):
    first = world.attacker.ram // PAGE
    yield from ring_of(world, cpu, range(first, first + 8))


@attack("gpadl-hypercall-page", "A ring over the hypercall page", "a GPADL names RAM, not the hypervisor's pages", OPENVMM,
        "pages under an overlay are refused", unchecked, REJECT, WEDGED)
def overlay(world, cpu):
    yield from ring_of(world, cpu, range(0x101, 0x109))     # the driver has put the hypercall page at 101000h


def trusting_ranges(self, gpadl):
    """As many ranges as the header says."""
    words, ranges, at = gpadl.words, [], 0
    for _ in range(gpadl.ranges_declared):
        count, offset = words[at] & 0xFFFF_FFFF, words[at] >> 32
        pages = -(-(offset + count) // PAGE)
        ranges.append(Range(count, offset, tuple(words[at + 1:at + 1 + pages])))
        at += 1 + pages
    return ranges


@attack("gpadl-missing-range", "A list that has fewer ranges than it says", "ranges lie within the words that came", LINUX,
        "the ranges are followed word by word", lambda world: without(GpadlTable, "_ranges", trusting_ranges), REJECT, WEDGED)
def missing(world, cpu):
    talker = yield from world.talk(cpu, ready=False)
    yield from talker.post(m.GPADL_HEADER.pack(relid=1, gpadl=77, range_bytes=32, ranges=2, byte_count=3 * PAGE,
                                               pages=(0x150, 0x151, 0x152)))


@attack("gpadl-hoard", "List after list, none of them finished", "a guest's GPADLs hold 1,280 MB at most",
        "Linux Documentation/virt/hyperv/vmbus.rst", "a limit for each guest",
        lambda world: without(world.server.gpadls, "_most_pages", 1 << 60), REJECT, WEDGED)
def hoard(world, cpu):
    talker = yield from world.talk(cpu, ready=False)
    for handle in range(60):
        yield from talker.post(m.GPADL_HEADER.pack(relid=1, gpadl=1000 + handle, range_bytes=8 * 8191, ranges=1,
                                                   byte_count=8190 * PAGE, pages=tuple(range(0x150, 0x160))))
