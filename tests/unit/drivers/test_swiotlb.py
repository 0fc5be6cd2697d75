"""The bounce pool alone: slots, segments, areas, what is copied and what is left behind; Linux's sizes."""

import random

import pytest

from vmio.drivers import synic
from vmio.drivers.confidential.sharing import Sharing
from vmio.drivers.confidential.swiotlb import MOST, SEGMENT, SLOT, Swiotlb
from vmio.drivers.errors import DriverError
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.hypervisor.isolation.visibility import isolate
from vmio.machine.pagetable import READ, WRITE
from vmio.machine.probes import watch
from vmio.modes import Machine

AT, DATA = 0x40_0000, 0x10_0000


def pool_of(kib=512, areas=1, vcpus=1, rate=1 << 60):
    guest = Machine().guest("g", ram_mib=16, vcpus=vcpus).make().guest
    isolate(guest)
    enable_enlightenments(guest)
    synic.enable_hypercalls(guest.cpu, 0x3000)
    sharing = Sharing(guest.cpu, 0x4000)
    return guest, sharing, Swiotlb(sharing, AT, kib, areas, rate)


def test_sizes_are_linux_s():
    assert (SLOT, SEGMENT, MOST) == (2048, 128, 256 * 1024 - 4096)
    _, _, pool = pool_of(8192)
    assert pool.slots == 4096
    assert Swiotlb.__init__.__defaults__[0] << 10 == 64 << 20        # IO_TLB_DEFAULT_SIZE


def test_it_is_shared_page_by_page_and_clear():
    guest, sharing, pool = pool_of(4096)
    pages = range(AT >> 12, (AT >> 12) + 1024)
    assert all(guest.isolation.may(page, READ | WRITE) for page in pages) and not guest.isolation.may(pages[-1] + 1, READ)
    assert sharing.calls == 3 and sharing.shared == set(pages)          # 510 + 510 + 4
    assert guest.seen.read(AT, 4096 << 10) == bytes(4096 << 10)


def test_data_goes_and_comes_and_both_ways_are_counted():
    guest, _, pool = pool_of()
    cpu = guest.cpu
    cpu.write(DATA + 100, b"to the disk")
    bounce = pool.map(cpu, DATA + 100, 5000)
    assert bounce % 4096 == 100 and guest.seen.read(bounce, 11) == b"to the disk" and pool.used == 3
    guest.seen.write(bounce, b"from disk!!")
    pool.unmap(cpu, bounce, to_guest=True)
    assert cpu.read(DATA + 100, 11) == b"from disk!!" and pool.copied == 10_000 and pool.used == 0 and pool.high == 3


def test_a_buffer_keeps_its_place_in_its_page():
    guest, _, pool = pool_of()
    for offset in (0, 4, 2047, 2048, 2052, 4092):
        assert pool.map(guest.cpu, DATA + offset, 16) % 4096 == offset
    assert pool.map(guest.cpu, DATA + 4092, MOST) is not None and pool.mappings[max(pool.mappings)].slots == 127


def test_no_mapping_crosses_a_segment_or_another():
    guest, _, pool = pool_of(1024)
    numbers, taken = random.Random(7), {}
    for step in range(400):
        if taken and numbers.random() < 0.45:
            pool.unmap(guest.cpu, taken.pop(numbers.choice(list(taken))), False)
            continue
        length, offset = numbers.randrange(1, MOST + 1), numbers.randrange(0, 4096)
        bounce = pool.map(guest.cpu, DATA + offset, length)
        if bounce is not None:
            taken[step] = bounce
        spans = sorted((m.first, m.first + m.slots) for m in pool.mappings.values())
        assert all(end <= begin for (_, end), (begin, _) in zip(spans, spans[1:]))
        assert all(first // SEGMENT == (end - 1) // SEGMENT for first, end in spans)
        assert pool.used == sum(end - first for first, end in spans)
    assert pool.full and pool.mapped > 100


def test_full_is_none_and_told():
    guest, _, pool = pool_of(256)
    refused = []
    watch(pool, "refused", refused.append)
    first = pool.map(guest.cpu, DATA, MOST)
    assert pool.map(guest.cpu, DATA, 4096) is not None          # two slots are left
    assert pool.map(guest.cpu, DATA, 1) is None and pool.full == 1 and refused == [1]
    pool.unmap(guest.cpu, first, False)
    assert pool.map(guest.cpu, DATA, 1) is not None
    for length in (0, MOST + 1):
        with pytest.raises(ValueError, match=f"bounce buffer of {length} bytes"):
            pool.map(guest.cpu, DATA, length)


def test_each_vcpu_begins_in_an_area_of_its_own_and_goes_on_in_others():
    guest, _, pool = pool_of(1024, areas=3, vcpus=3)
    assert pool.areas == 4
    places = [pool.mappings[pool.map(cpu, DATA, MOST)].first // SEGMENT for cpu in guest.vcpus]
    assert places == [0, 1, 2]
    assert pool.mappings[pool.map(guest.vcpus[1], DATA, MOST)].first // SEGMENT == 3      # 2 is next, but taken
    with pytest.raises(ValueError, match="bounce pool of 512 KiB"):
        pool_of(512, areas=3)
    with pytest.raises(ValueError, match="bounce pool of 300 KiB"):
        pool_of(300)


def test_a_copy_takes_the_guest_s_time():
    guest, _, pool = pool_of(rate=1_000_000_000)
    before = guest.cpu.now
    bounce = pool.map(guest.cpu, DATA, 4096)
    pool.unmap(guest.cpu, bounce, True)
    assert guest.cpu.now - before == 8192 == guest.cpu.compute_ns


def test_what_is_unmapped_stays_there_for_the_host_to_see():
    guest, _, pool = pool_of()
    guest.cpu.write(DATA, b"left behind")
    pool.unmap(guest.cpu, pool.map(guest.cpu, DATA, 64), False)
    assert b"left behind" in guest.seen.read(AT, 512 << 10)
    other = pool.map(guest.cpu, DATA + 0x8000, 64)          # a read of the same slot brings zeros in, not that
    assert guest.seen.read(other, 11) == bytes(11)


def test_a_page_that_the_host_uses_is_not_had_back():
    guest, sharing, _ = pool_of()
    guest.lent.append(lambda: [AT >> 12])
    with pytest.raises(DriverError, match="page 0x400: visibility 0 is refused, status 0x8 operation denied"):
        sharing.keep([(AT >> 12) + 1, AT >> 12])
