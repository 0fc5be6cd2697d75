"""The IOMMU: translation, permissions, the IOTLB's staleness, fault records, domains."""

from struct import pack

import pytest

from tests.passthrough_rig import refused
from vmio.machine.memory import PAGE, HostMemory
from vmio.machine.pagetable import LARGE_PAGE, READ, WRITE
from vmio.passthrough.iommu import structures
from vmio.passthrough.iommu.faults import FAULT, OVERFLOW, PENDING, FaultLog, Reason
from vmio.passthrough.iommu.iommu import Iommu
from vmio.passthrough.iommu.iotlb import Iotlb
from vmio.passthrough.iommu.remapper import Remapper
from vmio.passthrough.iommu.requester import requester_id, text

DEVICE = requester_id(0, 3)
OTHER = requester_id(1, 0, 2)


@pytest.fixture
def memory():
    return HostMemory(32 << 20)


@pytest.fixture
def iommu(memory):
    made = Iommu(memory)
    made.enable()
    return made


def attached(iommu, pages=4, permissions=READ | WRITE, iova=0x10000, requester=DEVICE):
    """(domain, DmaSpace, SPA) of a requester with some pages."""
    domain = iommu.domain()
    spa = iommu.memory.allocate(pages)
    domain.map(iova, spa, pages * PAGE, permissions)
    iommu.attach(requester, domain)
    return domain, iommu.space(requester), spa


def test_requester_ids():
    assert requester_id(0, 3) == 0x18 and requester_id(1, 0, 2) == 0x102
    assert text(0x18) == "00:03.0" and text(0x102) == "01:00.2"
    with pytest.raises(ValueError, match="device 32; 0 to 31"):
        requester_id(0, 32)


def test_dma_reads_and_writes_across_pages(iommu):
    domain, space, spa = attached(iommu)
    data = bytes(range(256)) * 33
    space.write(0x10F00, data)
    assert iommu.memory.read(spa + 0xF00, len(data)) == data
    assert space.read(0x10F00, len(data)) == data
    assert (space.reads, space.writes) == (3, 3)     # one for each page


def test_off_the_iommu_lets_everything_through(memory):
    iommu = Iommu(memory)
    spa = memory.allocate(1)
    iommu.space(DEVICE).write(spa, b"anything")
    assert memory.read(spa, 8) == b"anything"
    iommu.enable()
    refused(lambda: iommu.space(DEVICE).read(spa, 8), Reason.ROOT_NOT_PRESENT)


def test_what_is_not_mapped_or_not_permitted_faults(iommu):
    domain, space, spa = attached(iommu, permissions=READ)
    refused(lambda: space.write(0x10000, b"x"), Reason.WRITE)
    assert iommu.faults.taken() == [(DEVICE, 0x10000, Reason.WRITE, "write")]
    iommu.faults.clear(0)
    fault = refused(lambda: space.read(0x14000, 1), Reason.READ)
    assert (fault.address, fault.requester) == (0x14000, DEVICE)
    assert iommu.faults.taken() == [(DEVICE, 0x14000, Reason.READ, "read")]
    refused(lambda: space.read(1 << 60, 1), Reason.BEYOND_WIDTH)
    assert "fault 0x6 READ" in str(fault)


def test_a_permission_is_checked_in_the_iotlb_too(iommu):
    domain, space, spa = attached(iommu, permissions=READ)
    space.read(0x10000, 4)
    refused(lambda: space.write(0x10000, b"x"), Reason.WRITE)
    assert iommu.iotlb.hits == 1 and len(iommu.faults.taken()) == 1
    assert iommu.memory.read(spa, 1) == b"\0"


def test_a_transfer_ends_at_the_page_that_faults(iommu):
    domain, space, spa = attached(iommu, pages=1)
    refused(lambda: space.write(0x10FF0, bytes([7]) * 32))
    assert iommu.memory.read(spa + 0xFF0, 16) == bytes([7]) * 16   # the first page's part had gone out


def test_one_requester_is_not_another(iommu):
    _, space, spa = attached(iommu)
    domain, other, other_spa = attached(iommu, requester=OTHER)
    space.write(0x10000, b"mine")
    other.write(0x10000, b"hers")
    assert (iommu.memory.read(spa, 4), iommu.memory.read(other_spa, 4)) == (b"mine", b"hers")
    refused(lambda: iommu.space(requester_id(0, 4)).read(0x10000, 4), Reason.CONTEXT_NOT_PRESENT)


def test_long_addresses_do_not_reach_another_requesters_translation(iommu):
    _, space, spa = attached(iommu)
    space.read(0x10000, 4)
    for address in (0x10000 | DEVICE << 52, 0x10000 | 1 << 56, 0x10000 | 1 << 63):
        refused(lambda: iommu.space(0).read(address, 4))
        refused(lambda: space.read(address, 4), Reason.BEYOND_WIDTH)


def test_unmapped_stays_usable_until_invalidated(iommu):
    domain, space, spa = attached(iommu)
    space.write(0x11000, b"before")
    domain.unmap(0x11000, PAGE)
    assert space.read(0x11000, 6) == b"before"          # the window of danger
    assert [entry.address for entry in iommu.stale()] == [0x11000]
    assert iommu.invalidate(domain, 0x11000) == 1
    refused(lambda: space.read(0x11000, 6), Reason.READ)
    assert iommu.stale() == []
    assert space.read(0x10000, 1) == b"\0"


@pytest.mark.parametrize("how", ["page", "domain", "global"])
def test_three_kinds_of_invalidation(iommu, how):
    domain, space, _ = attached(iommu)
    _, other, _ = attached(iommu, requester=OTHER)
    for each in (space, other):
        for page in range(4):
            each.read(0x10000 + page * PAGE, 1)
    gone = {"page": lambda: iommu.invalidate(domain, 0x12000, PAGE), "domain": lambda: iommu.invalidate(domain),
            "global": iommu.invalidate}[how]()
    assert gone == {"page": 1, "domain": 4, "global": 8}[how]


def test_a_page_selective_invalidation_covers_aligned_powers_of_two(iommu):
    domain, space, _ = attached(iommu, pages=8)
    for page in range(8):
        space.read(0x10000 + page * PAGE, 1)
    assert iommu.invalidate(domain, 0x11000, 2 * PAGE) == 4    # pages 1 and 2 lie in the block 0 to 3
    assert iommu.invalidate(domain, 0, 1 << 60) == 4
    for iova, length in ((0, 0), (-4096, 4096)):
        with pytest.raises(ValueError, match="at least 1 byte"):
            iommu.invalidate(domain, iova, length)


@pytest.mark.parametrize("iova", [1 << 32, 0x7_0000_5000, (1 << 48) - 2 * PAGE])
def test_an_invalidation_above_4_gib_hits_its_page_alone(iommu, iova):
    domain, space, _ = attached(iommu, pages=2, iova=iova)
    domain.map(iova & 0xFFFF_F000, iommu.memory.allocate(2), 2 * PAGE)     # the same low 32 bits
    for page in (iova, iova + PAGE, iova & 0xFFFF_F000):
        space.read(page, 1)
    assert iommu.invalidate(domain, iova, PAGE) == 1
    assert sorted(entry.address for entry in iommu.iotlb) == sorted([iova + PAGE, iova & 0xFFFF_F000])


def test_an_entry_of_a_large_page_says_where_the_page_begins(iommu):
    """Whatever address came first: the whole of it is reachable, and goes when any part of it is invalidated."""
    domain = iommu.domain()
    spa = iommu.memory.allocate(512, align=512)
    domain.map(5 * LARGE_PAGE, spa, LARGE_PAGE)
    iommu.attach(DEVICE, domain)
    space = iommu.space(DEVICE)
    for part in (0, 0x1000, LARGE_PAGE - PAGE):
        space.read(5 * LARGE_PAGE + 0x12_3456, 1)
        (entry,) = iommu.iotlb
        assert (entry.address, entry.target, entry.low_mask) == (5 * LARGE_PAGE, spa, LARGE_PAGE - 1)
        assert iommu.invalidate(domain, 5 * LARGE_PAGE - PAGE, PAGE) == 0
        assert iommu.invalidate(domain, 6 * LARGE_PAGE, PAGE) == 0
        assert iommu.invalidate(domain, 5 * LARGE_PAGE + part, PAGE) == 1 and not list(iommu.iotlb)
    assert Iotlb().insert(1, DEVICE, 5 << 21 | 0x3456, 1, 3 << 21 | 0x5083, READ) == (
        1, DEVICE, 5 << 21, 3 << 21, LARGE_PAGE - 1, READ)


def test_large_pages_take_one_entry(iommu):
    domain = iommu.domain()
    spa = iommu.memory.allocate(1024, align=512)
    domain.map(0, spa, 2 * LARGE_PAGE)
    iommu.attach(DEVICE, domain)
    space = iommu.space(DEVICE)
    for page in range(0, 1024, 7):
        space.read(page * PAGE, 1)
    assert (len(iommu.iotlb), iommu.iotlb.misses) == (2, 2)
    assert iommu.invalidate(domain, 5 * PAGE) == 1
    space.write(LARGE_PAGE + 0x1234, b"deep")
    assert iommu.memory.read(spa + LARGE_PAGE + 0x1234, 4) == b"deep"


def test_the_least_recently_used_entry_goes():
    tlb = Iotlb(2)
    for page in (1, 2):
        tlb.insert(1, DEVICE, page << 12, 0, 0x100000, READ)
    assert tlb.lookup(DEVICE, 1 << 12).address == 1 << 12
    tlb.insert(1, DEVICE, 3 << 12, 0, 0x100000, READ)
    assert tlb.lookup(DEVICE, 2 << 12) is None and tlb.lookup(DEVICE, 1 << 12)
    assert (tlb.evictions, tlb.hits, tlb.misses) == (1, 2, 1)
    with pytest.raises(ValueError, match="entries 0; 1 to"):
        Iotlb(0)


def test_attach_detach_and_what_is_refused(iommu):
    domain, space, spa = attached(iommu)
    with pytest.raises(ValueError, match="00:03.0 is in domain 1 already; detach it first"):
        iommu.attach(DEVICE, iommu.domain())
    with pytest.raises(ValueError, match="domain 1 still holds 00:03.0"):
        iommu.destroy(domain)
    space.read(0x10000, 1)
    iommu.detach(DEVICE)
    refused(lambda: space.read(0x10000, 1), Reason.CONTEXT_NOT_PRESENT)
    with pytest.raises(ValueError, match="00:03.0 is in no domain"):
        iommu.detach(DEVICE)
    iommu.destroy(domain)
    with pytest.raises(ValueError, match="not one of this IOMMU's domains"):
        iommu.attach(DEVICE, domain)
    with pytest.raises(ValueError, match="not one of this IOMMU's domains"):
        iommu.attach(DEVICE, Iommu(HostMemory(1 << 20)).domain())
    with pytest.raises(ValueError, match="requester 65536"):
        iommu.attach(0x10000, iommu.domain())


def test_a_destroyed_domain_gives_its_tables_back_once(iommu):
    domain, space, spa = attached(iommu)
    space.read(0x10000, 1)
    iommu.detach(DEVICE)
    used, free = len(domain.table._tables), iommu.memory.free_pages
    assert used == 4
    for _ in range(2):
        iommu.destroy(domain)
        assert iommu.memory.free_pages == free + used and domain.mappings == [] and domain.pages == 0
    assert iommu.domain().id == domain.id                     # the number is free again


def test_mapping_is_checked(iommu):
    spa = iommu.memory.allocate(8)
    domain = iommu.domain(allowed=[(spa, 4 * PAGE)])
    domain.map(0x1000, spa, 2 * PAGE)
    for iova in (0x0, 0x1000, 0x2000):
        with pytest.raises(ValueError, match="something is mapped"):
            domain.map(iova, spa, 2 * PAGE)
    with pytest.raises(ValueError, match="not its owner's memory"):
        domain.map(0x10000, spa + 3 * PAGE, 2 * PAGE)
    with pytest.raises(ValueError, match="permissions 4"):
        domain.map(0x10000, spa, PAGE, 4)
    with pytest.raises(ValueError, match="multiples of"):
        domain.map(0x10001, spa, PAGE)
    with pytest.raises(ValueError, match="input addresses end"):
        domain.map(1 << 48, spa, PAGE)
    assert domain.mappings == [(0x1000, 0x3000)]


def test_unmap_splits_runs():
    iommu = Iommu(HostMemory(1 << 20))
    domain = iommu.domain()
    spa = iommu.memory.allocate(8)
    domain.map(0x10000, spa, 8 * PAGE)
    domain.unmap(0x12000, 2 * PAGE)
    assert domain.mappings == [(0x10000, 0x12000), (0x14000, 0x18000)] and domain.pages == 6
    assert domain.is_mapped(0x10000, 2 * PAGE) and not domain.is_mapped(0x11000, 2 * PAGE)
    domain.unmap(0, 1 << 20)
    assert domain.mappings == [] and not domain.is_mapped(0x10000)


def test_fault_records_collapse_and_overflow():
    events = []
    log = FaultLog(2, lambda: events.append(1))
    log.report(1, 0x1234, Reason.READ, True)
    log.report(1, 0x5000, Reason.READ, True)           # the same requester: dropped, nothing is lost sight of
    assert log.status == PENDING and log.dropped == 1
    log.report(2, 0x2000, Reason.WRITE, False)
    log.report(3, 0x3000, Reason.WRITE, False)
    assert log.status == PENDING | OVERFLOW and log.dropped == 2 and events == [1]
    assert log.taken() == [(1, 0x1000, Reason.READ, "read"), (2, 0x2000, Reason.WRITE, "write")]
    assert log.high[0] & FAULT
    log.clear(0)
    log.clear(1)
    assert log.status == OVERFLOW and log.counts == {Reason.READ: 2, Reason.WRITE: 2}


# What hostile or broken tables do.

def tables(memory, root=None, context=None, leaf=None, width=48, levels=4):
    """A `Remapper` over tables whose entries are given raw; 4 KiB at 0x10000 otherwise."""
    remapper = Remapper(memory, width)
    remapper.root, remapper.enabled = memory.allocate(1), True
    context_table, top = memory.allocate(1), memory.allocate(1)
    memory.write(remapper.root, root or structures.root_entry(context_table))
    memory.write(context_table + 16 * DEVICE, context or structures.context_entry(7, top, levels))
    table = top
    for level in range(levels - 1, 0, -1):
        below = memory.allocate(1)
        memory.store64(table + 8 * (0x10000 >> 12 + 9 * level & 511), below | 3)
        table = below
    target = memory.allocate(1)
    memory.store64(table + 8 * 0x10, target | 3 if leaf is None else leaf)
    return remapper, target


def test_well_built_tables_translate(memory):
    for levels in (3, 4):
        remapper, target = tables(memory, levels=levels)
        assert remapper.translate(DEVICE, 0x10123, READ) == target + 0x123
    for target in (0xFEDF_F000, 0xFEF0_0000, 1 << 32, (1 << 48) - 4096):       # just beside the interrupts', and far from it
        assert tables(memory, leaf=target | 3)[0].translate(DEVICE, 0x10FFF, WRITE) == target + 0xFFF


def test_pass_through_context_entries(memory):
    remapper, _ = tables(memory, context=structures.context_entry(7, 0, 4, kind=structures.PASS))
    assert remapper.translate(DEVICE, 0x12345, WRITE) == 0x12345


@pytest.mark.parametrize("wrong,reason", [
    (dict(root=bytes(16)), Reason.ROOT_NOT_PRESENT),
    (dict(root=pack("<QQ", 0x2001 | 8, 0)), Reason.ROOT_RESERVED),
    (dict(root=pack("<QQ", 0x2001, 1)), Reason.ROOT_RESERVED),
    (dict(root=structures.root_entry(1 << 40)), Reason.CONTEXT_TABLE_UNREADABLE),
    (dict(context=pack("<QQ", 0x2001, 1 << 30)), Reason.CONTEXT_RESERVED),
    (dict(context=structures.context_entry(7, 0x2000, 4, kind=3)), Reason.CONTEXT_INVALID),
    (dict(context=structures.context_entry(7, 0x2000, 5)), Reason.CONTEXT_INVALID),
    (dict(context=structures.context_entry(7, 1 << 40, 4)), Reason.CONTEXT_INVALID),
    (dict(leaf=0), Reason.READ),
    (dict(leaf=0x3000 | 2), Reason.READ),
    (dict(leaf=0x3000 | 3 | 1 << 11), Reason.PAGING_RESERVED),
    (dict(leaf=0x3000 | 3 | 1 << 50), Reason.PAGING_RESERVED),
    (dict(leaf=0xFEE0_0000 | 3), Reason.INTERRUPT_RANGE),
    (dict(leaf=0xFEEF_F000 | 3), Reason.INTERRUPT_RANGE),
])
def test_tables_that_make_no_sense(memory, wrong, reason):
    remapper, _ = tables(memory, **wrong)
    refused(lambda: remapper.translate(DEVICE, 0x10000, READ), reason)
    assert remapper.faults.taken()[0][2] is reason


def test_a_table_that_points_to_itself_ends(memory):
    remapper, _ = tables(memory)
    top = structures.parse_context(memory.read(structures.parse_root(memory.read(remapper.root, 16), 48)[0] + 16 * DEVICE, 16),
                                   48).table
    for slot in range(512):
        memory.store64(top + 8 * slot, top | 3)
    assert remapper.translate(DEVICE, 0x10000, READ) == top      # after four steps, whatever is there is the page


def test_a_leaf_beyond_memory_is_a_fault_of_the_transfer(iommu):
    domain, space, spa = attached(iommu)
    iommu.memory.store64(domain.table.walk(0x10000)[-1][1], 1 << 40 | 3)
    refused(lambda: space.read(0x10000, 4))
    refused(lambda: space.write(0x10000, b"1234"))


def test_faults_can_be_kept_out_of_the_records(memory):
    remapper, _ = tables(memory, context=structures.context_entry(7, 0x2000, 4, faults_off=True))
    refused(lambda: remapper.translate(DEVICE, 1 << 50, READ), Reason.BEYOND_WIDTH)
    assert remapper.faults.taken() == []
