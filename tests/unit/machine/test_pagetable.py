"""Page tables at their edges: which leaf maps what, and that nothing beside it is reachable."""

import pytest

from vmio.machine.memory import PAGE, HostMemory
from vmio.machine.pagetable import EXECUTE, LARGE_PAGE, READ, WRITE, AddressSpace, PageTable, TranslationFault

ALL = READ | WRITE | EXECUTE
AT = 3 * LARGE_PAGE                       # an input address with room on both sides


@pytest.fixture
def memory():
    return HostMemory(32 << 20)


def leaf(table, address):
    """(level, entry) where the walk for `address` ends."""
    level, _, entry = table.walk(address)[-1]
    return level, entry


@pytest.mark.parametrize("before, shift, length", [
    (PAGE, 0, LARGE_PAGE),                # the input address is not aligned: a 2 MiB leaf would map the page before it
    (LARGE_PAGE - PAGE, 0, 2 * LARGE_PAGE - PAGE),
    (0, PAGE, LARGE_PAGE),                # the target is not aligned: bits 20:12 of a 2 MiB leaf are reserved
    (0, 0, LARGE_PAGE - PAGE),            # too short for a leaf
    (PAGE, PAGE, LARGE_PAGE),             # both are off by the same: still no leaf
])
def test_what_is_not_aligned_gets_small_pages_and_nothing_more(memory, before, shift, length):
    target = memory.allocate(1536, align=512) + shift
    table = PageTable(memory)
    start = AT + before
    table.map(start, target, length, READ | WRITE)
    for offset in (0, PAGE, length // 2 & -PAGE, length - PAGE):
        assert leaf(table, start + offset) == (0, target + offset | 3)
        assert table.translate(start + offset + 0x123, READ) == target + offset + 0x123
    for outside in (start - 1, start - PAGE, AT - 1, start + length, start + length + PAGE - 1):
        with pytest.raises(TranslationFault, match="not mapped"):
            table.translate(outside, READ)


def test_a_large_leaf_lies_where_both_sides_are_aligned(memory):
    """A page before it, 2 MiB, and a page after it: three leaves of two kinds."""
    spa = memory.allocate(1536, align=512)
    table = PageTable(memory)
    table.map(AT - PAGE, spa + LARGE_PAGE - PAGE, LARGE_PAGE + 2 * PAGE, ALL)
    assert leaf(table, AT - 1) == (0, spa + LARGE_PAGE - PAGE | ALL)
    assert leaf(table, AT) == leaf(table, AT + LARGE_PAGE - 1) == (1, spa + LARGE_PAGE | 0x87)     # bit 7: a leaf
    assert leaf(table, AT + LARGE_PAGE) == (0, spa + 2 * LARGE_PAGE | ALL)
    assert table.translate(AT + 0x1F_F123, EXECUTE) == spa + LARGE_PAGE + 0x1F_F123
    for outside in (AT - PAGE - 1, AT + LARGE_PAGE + PAGE):
        with pytest.raises(TranslationFault, match="not mapped"):
            table.translate(outside, READ)


def test_a_split_leaf_keeps_its_permissions_and_its_last_page(memory):
    spa = memory.allocate(512, align=512)
    table = PageTable(memory)
    table.map(AT, spa, LARGE_PAGE, READ | EXECUTE)
    table.unmap(AT + PAGE, PAGE)
    assert leaf(table, AT) == (0, spa | READ | EXECUTE)
    assert leaf(table, AT + LARGE_PAGE - PAGE) == (0, spa + LARGE_PAGE - PAGE | READ | EXECUTE)
    assert table.translate(AT, EXECUTE) == spa
    for address, access in ((AT, WRITE), (AT + PAGE, READ), (AT + LARGE_PAGE, READ)):
        with pytest.raises(TranslationFault) as caught:
            table.translate(address, access)
        assert caught.value.present == (access == WRITE)


def test_a_page_can_be_mapped_over_a_part_of_a_large_one(memory):
    spa, other = memory.allocate(512, align=512), memory.allocate(1)
    table = PageTable(memory)
    table.map(AT, spa, LARGE_PAGE, READ)
    assert table.translate(AT + 2 * PAGE, READ) == spa + 2 * PAGE      # in the cache of translations, until it changes
    table.map(AT + 2 * PAGE, other, PAGE, WRITE)
    assert table.translate(AT + 2 * PAGE + 7, WRITE) == other + 7
    assert table.translate(AT + 3 * PAGE, READ) == spa + 3 * PAGE
    with pytest.raises(TranslationFault, match="read at 0x602000: not permitted"):
        table.translate(AT + 2 * PAGE, READ)


@pytest.mark.parametrize("levels, bits", [(3, 39), (4, 48)])
def test_the_last_page_of_the_address_space(memory, levels, bits):
    table, spa = PageTable(memory, levels), memory.allocate(1)
    table.map((1 << bits) - PAGE, spa, PAGE, READ)
    assert table.translate((1 << bits) - 1, READ) == spa + 0xFFF
    assert [level for level, _, _ in table.walk((1 << bits) - 1)] == list(range(levels))[::-1]
    for address in (1 << bits, -1, (1 << bits) + (1 << bits) - 1):
        with pytest.raises(TranslationFault, match="not mapped"):
            table.translate(address, READ)
    with pytest.raises(ValueError, match="input addresses end at"):
        table.map((1 << bits) - PAGE, spa - PAGE, 2 * PAGE, READ)


def test_a_table_that_was_given_back_translates_nothing(memory):
    table = PageTable(memory)
    table.map(AT, memory.allocate(1), PAGE, READ)
    table.translate(AT, READ)
    table.free()
    with pytest.raises(TranslationFault, match="not mapped"):
        table.translate(AT, READ)


def test_the_hosts_first_page_can_be_a_target(memory):
    table = PageTable(memory)
    table.map(AT, 0, PAGE, READ)
    assert table.translate(AT + 5, READ) == 5


@pytest.mark.parametrize("before", [0x2000, 0x3000])
def test_pages_side_by_side_may_lie_far_apart(memory, before):
    """An access over a border reaches both pages, wherever they are, and nothing behind the first."""
    first, between, second = memory.allocate(1), memory.allocate(1), memory.allocate(1)
    table = PageTable(memory)
    table.map(before, first, PAGE, READ | WRITE)
    table.map(before + PAGE, second, PAGE, READ | WRITE)
    space = AddressSpace(memory, table)
    for cut in (1, 8, 15):
        data = bytes(range(cut, cut + 16))
        space.write(before + PAGE - cut, data)
        assert space.read(before + PAGE - cut, 16) == data
        assert memory.read(first + PAGE - cut, cut) + memory.read(second, 16 - cut) == data
    assert memory.read(between, PAGE) == bytes(PAGE)
    space.write(before, bytes([7]) * PAGE)                 # a whole page is one piece
    assert memory.read(first, PAGE) == bytes([7]) * PAGE and memory.read(between, 1) == bytes(1)
