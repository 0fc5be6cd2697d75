"""A confidential guest's pages: what the host sees of them, and the hypercall that changes it, to the byte."""

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from vmio.drivers import synic
from vmio.drivers.confidential.sharing import Sharing
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.hypervisor.isolation.visibility import isolate
from vmio.machine.checkpoint import CheckpointRefused
from vmio.machine.pagetable import READ, WRITE, TranslationFault
from vmio.machine.probes import watch
from vmio.modes import Machine

INPUT, SECRET = 0x4000, b"nobody else's business; " * 200
CALL = tlfs.MODIFY_VISIBILITY


def confidential(boundary=None):
    guest = Machine().guest("safe", ram_mib=16).make().guest
    pages = isolate(guest, boundary)
    enable_enlightenments(guest)
    synic.enable_hypercalls(guest.cpu, 0x3000)
    return guest, pages


def ask(guest, *numbers, visibility=3, start=0, count=None, **fields):
    guest.cpu.write(INPUT, tlfs.VISIBILITY_INPUT.pack(visibility=visibility, pages=numbers, **fields))
    count = len(numbers) if count is None else count
    result = guest.cpu.hypercall(CALL | count << tlfs.REP_COUNT | start << tlfs.REP_START, INPUT)
    return result & 0xFFFF, result >> tlfs.REP_COUNT & 0xFFF


def test_the_input_is_as_linux_writes_it():
    packed = tlfs.VISIBILITY_INPUT.pack(visibility=3, pages=(0x1234, 0x1235))
    assert packed.hex() == "ffffffffffffffff" "03000000" "00000000" "3412000000000000" "3512000000000000"
    assert tlfs.MOST_PAGES == 510 and tlfs.VISIBILITY_INPUT.size + 8 * tlfs.MOST_PAGES == 4096


def test_cpuid_tells_the_guest_what_it_is():
    guest, _ = confidential()
    cpu, plain = guest.cpu, Machine().guest(ram_mib=16).make().guest
    enable_enlightenments(plain)
    assert cpu.cpuid(0x4000_0000)[0] == 0x4000_000C and cpu.cpuid(0x4000_0003)[1] >> 22 & 1
    assert cpu.cpuid(0x4000_000C) == (1, 2, 0, 0)       # a paravisor, SNP
    assert synic.detect(cpu).isolation == 2 and synic.detect(plain.cpu).isolation == 0
    assert plain.cpu.cpuid(0x4000_0000)[0] == 0x4000_0006 and not plain.cpu.cpuid(0x4000_0003)[1] >> 22 & 1
    assert plain.cpu.cpuid(0x4000_000C) == (0, 0, 0, 0)


def test_a_private_page_is_ciphertext_for_the_host_and_refuses_its_writes():
    guest, pages = confidential()
    guest.cpu.write(0x5000, SECRET[:4096])
    seen = guest.seen.read(0x5000, 4096)
    spa = guest.ram_spa(0x5000)
    key = pages._cipher._of(0).algorithm.key
    lib = Cipher(algorithms.AES(key), modes.XTS((spa >> 12).to_bytes(16, "little"))).encryptor()
    assert seen == lib.update(SECRET[:4096]) and guest.cpu.read(0x5000, 4096) == SECRET[:4096]
    assert guest.seen.read(0x5FF0, 32)[:16] == seen[0xFF0:] and pages.private_reads == 3
    assert guest.dma.read(0x5000, 64) == seen[:64]      # a device's DMA, too
    for space in (guest.seen, guest.dma):
        with pytest.raises(TranslationFault, match="write at 0x5010: not permitted"):
            space.write(0x5010, b"forged")
    assert pages.refused == 2 and guest.cpu.read(0x5000, 4096) == SECRET[:4096]


def test_two_guests_and_two_pages_have_other_ciphertexts():
    machine = Machine(memory_mib=64)
    one, other = (machine.guest(name, ram_mib=16).make().guest for name in ("one", "other"))
    for guest in (one, other):
        isolate(guest)
        guest.cpu.write(0x5000, SECRET[:4096])
        guest.cpu.write(0x6000, SECRET[:4096])
    found = {guest.seen.read(at, 4096) for guest in (one, other) for at in (0x5000, 0x6000)}
    assert len(found) == 4


def test_a_shared_page_is_everybodys_and_what_was_in_it_is_noise():
    guest, pages = confidential()
    guest.cpu.write(0x5000, SECRET[:4096])
    before, told = guest.seen.read(0x5000, 4096), []
    watch(pages, "changed", lambda *what: told.append(what))
    assert ask(guest, 5, 6) == (0, 2) and told == [(5, READ | WRITE), (6, READ | WRITE)]
    assert guest.cpu.read(0x5000, 4096) == guest.seen.read(0x5000, 4096) == before
    guest.seen.write(0x5000, b"hello")
    assert guest.cpu.read(0x5000, 5) == b"hello"
    assert ask(guest, 5, visibility=0) == (0, 1)
    assert b"hello" not in guest.cpu.read(0x5000, 4096) and guest.seen.read(0x5000, 5) == b"hello"     # the chips' bytes are the same


def test_read_only_is_half_of_it():
    guest, _ = confidential()
    assert ask(guest, 5, visibility=1) == (0, 1)
    guest.cpu.write(0x5000, b"look")
    assert guest.seen.read(0x5000, 4) == b"look"
    with pytest.raises(TranslationFault):
        guest.seen.write(0x5000, b"x")


def test_a_full_page_of_numbers_and_a_start_in_the_middle():
    guest, pages = confidential()
    assert ask(guest, *range(0x100, 0x100 + 510)) == (0, 510) and len(pages.access) == 510
    assert ask(guest, 0x10, 0x11, 0x12, start=2) == (0, 3)
    assert pages.may(0x12, READ) and not pages.may(0x10, READ)


@pytest.mark.parametrize("fields, status", [
    (dict(visibility=2), tlfs.INVALID_PARAMETER), (dict(visibility=4), tlfs.INVALID_PARAMETER), (dict(partition=7), tlfs.INVALID_PARAMETER),
    (dict(reserved=1), tlfs.INVALID_PARAMETER), (dict(count=0), tlfs.INVALID_INPUT), (dict(start=1), tlfs.INVALID_INPUT),
    (dict(count=511), tlfs.INVALID_ALIGNMENT)])
def test_nonsense_gets_a_status_and_changes_nothing(fields, status):
    guest, pages = confidential()
    assert ask(guest, 5, **fields) == (status, 0) and not pages.access


def test_it_ends_at_the_first_page_that_cannot_be_and_says_how_many_were_done():
    guest, pages = confidential()
    assert ask(guest, 5, 6, 1 << 40, 7) == (tlfs.INVALID_PARAMETER, 2) and sorted(pages.access) == [5, 6]
    assert ask(guest, 3) == (tlfs.INVALID_PARAMETER, 0)     # the hypercall page lies over it
    guest.lent.append(lambda: [5])
    assert ask(guest, 6, 5, visibility=0) == (tlfs.OPERATION_DENIED, 1) and sorted(pages.access) == [5]


def test_who_is_not_confidential_has_no_such_hypercall():
    guest = Machine().guest(ram_mib=16).make().guest
    enable_enlightenments(guest)
    synic.enable_hypercalls(guest.cpu, 0x3000)
    assert guest.seen is guest.memory
    assert ask(guest, 5)[0] == tlfs.INVALID_CODE
    with pytest.raises(ValueError, match="only a guest that has not begun yet"):
        isolate(guest)


def test_its_memory_can_be_neither_taken_nor_moved_nor_saved():
    guest, _ = confidential()
    with pytest.raises(ValueError, match="no live migration: it is confidential"):
        guest.check_movable("live migration")
    with pytest.raises(ValueError, match="no memory taken away: it is confidential"):
        guest.take_ram(0x10_0000, 4096)
    with pytest.raises(CheckpointRefused, match="guest safe is confidential"):
        guest.save(type("saving", (), {"now": 5}), [])


def test_where_no_ram_is_the_host_finds_none():
    guest, pages = confidential()
    with pytest.raises(TranslationFault, match="not mapped"):
        guest.seen.read(guest.ram - 8, 16)
    assert guest.seen.read(0x3000, 4) == bytes.fromhex("0f01c1c3")      # the hypervisor's own page is no secret of the guest's


def test_a_guest_that_is_gone_leaves_noise_also_where_nobody_scrubs(monkeypatch):
    guest, pages = confidential()
    host, at = guest.host, guest.ram_spa(0)
    guest.cpu.write(0x5000, SECRET[:4096])
    guest.cpu.write(0x6000, SECRET[:4096])
    assert ask(guest, 6) == (0, 1)
    guest.cpu.write(0x6000, b"for all to see".ljust(4096, b"!"))
    seen = guest.seen.read(0x5000, 4096)
    monkeypatch.setattr(host.memory, "free", lambda spa, count: None, raising=False)
    guest.destroy()
    assert host.memory.read(at + 0x5000, 4096) == seen != SECRET[:4096]
    assert host.memory.read(at + 0x6000, 14) == b"for all to see" and host.memory.read(at + 0x8000, 4096) == bytes(4096)


ABOVE = 1 << 39


def test_behind_a_boundary_a_guest_sees_its_pages_as_its_host_does():
    guest, pages = confidential(39)
    cpu = guest.cpu
    assert cpu.cpuid(0x4000_000C) == (1, 2 | 1 << 5 | 39 << 6, 0, 0)
    cpu.write(0x5000, SECRET[:4096])
    assert cpu.read(0x5000, 4096) == SECRET[:4096] and cpu.read(ABOVE | 0x5000, 4096) == guest.seen.read(0x5000, 4096) != SECRET[:4096]
    sharing = Sharing(cpu, INPUT)
    assert sharing.alias == ABOVE
    sharing.share([5])
    assert cpu.read(ABOVE + 0x5000, 4096) == bytes(4096)          # it was cleared there
    with pytest.raises(TranslationFault):
        guest.memory.write(ABOVE + 0x5FFC, b"for the host")         # the last 8 bytes would go to page 6, which is private
    assert guest.seen.read(0x5FFC, 4) == bytes(4), "nothing has moved"
    cpu.write(ABOVE + 0x5100, b"for the host")
    assert guest.seen.read(0x5100, 12) == b"for the host" == cpu.read(ABOVE + 0x5100, 12)
    with pytest.raises(TranslationFault):
        guest.memory.read(0x5100, 12)                               # a shared page is never taken for a private one,
    with pytest.raises(TranslationFault):
        guest.memory.write(ABOVE + 0x7000, b"x")                    # nor a private one written as if it were shared
    sharing.keep([5])
    assert cpu.read(0x5000, 4096) == bytes(4096) and cpu.read(0x5000 - 8, 16) == bytes(16)


def test_a_guest_without_a_boundary_has_one_address_for_each_page():
    guest, pages = confidential()
    assert Sharing(guest.cpu, INPUT).alias == 0 and guest.memory is not pages.seen
    with pytest.raises(TranslationFault):
        guest.memory.read(ABOVE | 0x5000, 8)


@pytest.mark.parametrize("bit", (11, 20, 52))
def test_a_boundary_lies_above_all_ram_and_within_an_address(bit):
    guest = Machine().guest("safe", ram_mib=16).make().guest
    with pytest.raises(ValueError, match=f"^guest safe: boundary at bit {bit}; 12 to 51, and above all of its 16,777,216 bytes of RAM$"):
        isolate(guest, bit)
    assert guest.isolation is None
