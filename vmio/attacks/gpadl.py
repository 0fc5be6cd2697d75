"""Attacks with lists of guest pages: pages of others, pages of the hypervisor's, lists that lie, lists without end."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from vmio.attacks.catalogue import collection
from vmio.attacks.defence import without
from vmio.attacks.split import SplitWorld
from vmio.attacks.verdict import FAIL, REJECT, WEDGED
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.gpadl import Gpadl, GpadlTable, Range
from vmio.vmbus.bus.monitor import MonitorPages

LINUX, OPENVMM = "Linux drivers/hv/channel.c", "OpenVMM vm/devices/vmbus/vmbus_server/src/channels.rs"
ATTACKS, attack = collection("gpadl", "split", SplitWorld, "messages")


def unchecked(world: SplitWorld) -> AbstractContextManager:
    """Page numbers are taken as they come."""
    return without(GpadlTable, "check", lambda self, pages: None)


def ring_of(world: SplitWorld, cpu: VCpu, pages: Sequence[int]) -> Steps:
    """Offer `pages` for the rings, and open."""
    talker = yield from world.talk(cpu, ready=False)
    yield from talker.post(*m.gpadl_messages(1, 77, tuple(pages)),
                           m.OPENCHANNEL.pack(relid=1, open_id=1, gpadl=77, downstream_page=4))


@attack("gpadl-foreign-pages", "A ring in pages that are not the guest's", "a GPADL names the guest's own RAM", OPENVMM,
        "each page is looked up in the guest's RAM", unchecked, REJECT, WEDGED, wall="GPADL's page check")
def foreign(world: SplitWorld, cpu: VCpu) -> Steps:
    first = world.attacker.ram // PAGE
    yield from ring_of(world, cpu, range(first, first + 8))


@attack("gpadl-hypercall-page", "A ring over the hypercall page", "a GPADL names RAM, not the hypervisor's pages", OPENVMM,
        "pages under an overlay are refused", unchecked, REJECT, WEDGED, wall="GPADL's page check")
def overlay(world: SplitWorld, cpu: VCpu) -> Steps:
    yield from ring_of(world, cpu, range(0x101, 0x109))     # the driver has put the hypercall page at 101000h


def trusting_ranges(self: GpadlTable, gpadl: Gpadl) -> list[Range]:
    """As many ranges as the header says."""
    words, ranges, at = gpadl.words, [], 0
    for _ in range(gpadl.ranges_declared):
        count, offset = words[at] & 0xFFFF_FFFF, words[at] >> 32
        pages = -(-(offset + count) // PAGE)
        ranges.append(Range(count, offset, tuple(words[at + 1:at + 1 + pages])))
        at += 1 + pages
    return ranges


@attack("gpadl-missing-range", "A list that has fewer ranges than it says", "ranges lie within the words that came", LINUX,
        "the ranges are followed word by word", lambda world: without(GpadlTable, "_ranges", trusting_ranges), REJECT, WEDGED,
        wall="GPADL's range check")
def missing(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu, ready=False)
    yield from talker.post(m.GPADL_HEADER.pack(relid=1, gpadl=77, range_bytes=32, ranges=2, byte_count=3 * PAGE,
                                               pages=(0x150, 0x151, 0x152)))


@attack("gpadl-hoard", "List after list, none of them finished", "a guest's GPADLs hold 1,280 MB at most",
        "Linux Documentation/virt/hyperv/vmbus.rst", "a limit for each guest",
        lambda world: without(world.server.gpadls, "_max_pages", 1 << 60), REJECT, WEDGED, wall="GPADL quota")
def hoard(world: SplitWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu, ready=False)
    for handle in range(60):
        yield from talker.post(m.GPADL_HEADER.pack(relid=1, gpadl=1000 + handle, range_bytes=8 * 8191, ranges=1,
                                                   byte_count=8190 * PAGE, pages=tuple(range(0x150, 0x160))))


class Monitored(SplitWorld):
    """Both guests have monitor pages, at which the host looks for their signals, and into which it writes what the bits mean."""

    doorbell = "monitor"


@contextmanager
def ram_in_a_row(world: Monitored) -> Iterator[None]:
    """A monitor page is where the guest says, counted from where its RAM begins."""
    with (without(MonitorPages, "accepts", lambda self, to_guest, to_host: True),
          without(MonitorPages, "_spa", lambda self: None if self.page is None else self._guest.ram_spa(0) + self.page)):
        yield


@attack("monitor-foreign-page", "A monitor page that is not the guest's", "the host writes into the guest's own RAM", OPENVMM,
        "the page is looked up in the guest's RAM, each time", ram_in_a_row, REJECT, FAIL, world=Monitored,
        wall="monitor page check")
def monitor(world: Monitored, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu, ready=False)
    yield from talker.post(m.INITIATE_CONTACT.pack(version=m.V5_3, monitor_page1=0x20_0000, monitor_page2=world.attacker.ram),
                           m.REQUESTOFFERS.pack())
