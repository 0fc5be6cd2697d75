"""The ACPI tables: their sums, what points where, and what Intel's own disassembler reads in them."""

import os
import shutil
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmio.firmware import acpi, aml
from vmio.firmware import acpi_wire as w
from vmio.modes import one_guest

MMIO = [(0xF800_0000, 0x10_0000), (1 << 36, 1 << 24)]


@pytest.fixture(scope="module")
def memory():
    guest = one_guest(ram_mib=2).guest
    assert acpi.write(guest.memory, mmio=MMIO) == 0xE0000
    return guest.memory


def table(memory, address):
    """(header, all bytes) of the table at an address."""
    length = w.HEADER.parse(memory.read(address, w.HEADER.size)).length
    data = memory.read(address, length)
    return w.HEADER.parse(data), data


def test_every_sum_is_right(memory):
    rsdp = memory.read(acpi.BASE, 36)
    assert rsdp[:8] == b"RSD PTR " and sum(rsdp[:20]) % 256 == 0 and sum(rsdp) % 256 == 0
    for address in (acpi.XSDT, acpi.FADT, acpi.MADT, acpi.DSDT):
        assert sum(table(memory, address)[1]) % 256 == 0


def test_each_leads_to_the_next(memory):
    rsdp = w.RSDP.parse(memory.read(acpi.BASE, 36))
    assert (rsdp.revision, rsdp.length, rsdp.rsdt) == (2, 36, 0)
    header, xsdt = table(memory, rsdp.xsdt)
    assert header.signature == b"XSDT" and len(xsdt) == 52
    first, second = struct.unpack_from("<QQ", xsdt, 36)
    header, madt = table(memory, second)
    assert header.signature == b"APIC" and madt[36:] == struct.pack("<IIBBBBI", 0xFEE00000, 1, 0, 8, 0, 0, 1)
    header, fadt = table(memory, first)
    assert (header.signature, header.revision, len(fadt)) == (b"FACP", 3, 244)
    assert struct.unpack_from("<II", fadt, 36) == (acpi.FACS, acpi.DSDT) and struct.unpack_from("<Q", fadt, 140) == (acpi.DSDT,)
    assert memory.read(acpi.FACS, 8) == b"FACS" + struct.pack("<I", 64)
    assert table(memory, acpi.DSDT)[0].signature == b"DSDT"


def test_what_the_fadt_says_of_the_machine(memory):
    """Offsets of the ACPI specification 6.5, table 5.9."""
    _, fadt = table(memory, acpi.FADT)
    assert struct.unpack_from("<H", fadt, 46) == (9,) and struct.unpack_from("<I", fadt, 48) == (0,)
    assert struct.unpack_from("<I", fadt, 56) == (0x600,) and struct.unpack_from("<I", fadt, 64) == (0x604,) and fadt[88:90] == b"\4\2"
    assert struct.unpack_from("<I", fadt, 76) == (0,)                        # no PM timer
    assert struct.unpack_from("<HH", fadt, 96) == (0xFFF, 0xFFF) and fadt[108] == 0x32
    assert struct.unpack_from("<I", fadt, 112) == (0b100_0011_0101,)
    assert struct.unpack_from("<BBBBQ", fadt, 116) == (1, 8, 0, 1, 0xCF9) and fadt[128] == 6
    assert struct.unpack_from("<BBBBQ", fadt, 148) == (1, 32, 0, 2, 0x600)
    assert struct.unpack_from("<BBBBQ", fadt, 172) == (1, 16, 0, 2, 0x604)


def test_they_do_not_overlap():
    ends = [(address, address + len(data)) for address, data in sorted(acpi.tables().items())]
    assert all(end <= start for (_, end), (start, _) in zip(ends, ends[1:])) and ends[0][0] == acpi.BASE and ends[-1][1] <= acpi.END


def test_without_a_local_apic_there_is_no_table_of_it():
    found = acpi.tables(local_apic=False)
    assert acpi.MADT not in found and len(found[acpi.XSDT]) == 44


def test_every_pin_of_every_slot_is_wired_as_on_the_board():
    """_PRT (6.2.13): slot 3's INTA# is PIRQC#, IRQ 10; its INTB# is PIRQD#, IRQ 11."""
    wires = acpi.description()[acpi.description().index(b"_PRT"):]
    assert wires.count(b"\x0c\xff\xff") == 31 * 4
    for slot, pin, irq in ((1, b"\0", 10), (3, b"\0", 10), (3, b"\1", 11), (4, b"\x0a\x03", 10), (31, b"\x0a\x02", 10)):
        assert b"\x04\x0c\xff\xff" + bytes([slot, 0]) + pin + b"\0\x0a" + bytes([irq]) in wires


def test_the_vmbus_is_told_of_if_there_is_one():
    assert b"VMBus\0" in acpi.description() and b"VMB0" not in acpi.description(vmbus=False)


@pytest.mark.parametrize("term, wanted", [
    (aml.integer(0), "00"), (aml.integer(1), "01"), (aml.integer(2), "0a 02"), (aml.integer(0x1234), "0b 34 12"),
    (aml.integer(0x12345678), "0c 78 56 34 12"), (aml.integer(1 << 63), "0e 00 00 00 00 00 00 00 80"),
    (aml.string("VMBus"), "0d 56 4d 42 75 73 00"), (aml.eisa_id("PNP0A03"), "0c 41 d0 0a 03"),
    (aml.name("_UID", aml.integer(0)), "08 5f 55 49 44 00"), (aml.package(aml.integer(5), aml.integer(0)), "12 05 02 0a 05 00"),
    (aml.scope("_SB_"), "10 05 5f 53 42 5f"), (aml.device("VMB0"), "5b 82 05 56 4d 42 30"),
    (aml.resources(), "11 05 0a 02 79 00"), (aml.io_ports(0xCF8, 8), "47 01 f8 0c f8 0c 01 08"),
    (aml.bus_numbers(0, 256), "88 0d 00 02 0c 00 00 00 00 00 ff 00 00 00 00 01"),
    (aml.port_window(0xD00, 0xF300), "88 0d 00 01 0c 03 00 00 00 0d ff ff 00 00 00 f3"),
    (aml.low_memory(0xE000_0000, 0x1EC0_0000), "87 17 00 00 0c 01 00 00 00 00 00 00 00 e0 ff ff bf fe 00 00 00 00 00 00 c0 1e"),
    (aml.memory(1 << 36, 1 << 24), "8a 2b 00 00 0c 01" + " 00" * 8 + " 00 00 00 00 10 00 00 00 ff ff ff 00 10 00 00 00" + " 00" * 8
     + " 00 00 00 01 00 00 00 00")])
def test_terms(term, wanted):
    """Byte for byte as the ACPI specification builds them (20.2, 6.4)."""
    assert term.hex(" ") == wanted


@given(st.integers(0, 1 << 21))
def test_a_length_counts_itself(size):
    data = aml.package_length(bytes(size))
    more = data[0] >> 6
    length = data[0] & 0x3F if not more else data[0] & 15 | int.from_bytes(data[1:1 + more], "little") << 4
    assert length == len(data) == size + 1 + more


@pytest.mark.parametrize("make, why", [
    (lambda: aml.name("_HI", b""), "'_HI' is no name"), (lambda: aml.name("0ABC", b""), "'0ABC' is no name"),
    (lambda: aml.integer(-1), "-1; a number"), (lambda: aml.integer(1 << 64), "a number has 0 to 64 bits"),
    (lambda: aml.string("a\0"), "no zero"), (lambda: aml.string("ä"), "ASCII"), (lambda: aml.eisa_id("pnp0a03"), "'pnp0a03' is no identifier"),
    (lambda: aml.package_length(bytes((1 << 28) - 4)), "268,435,452 bytes in one term")])
def test_what_is_no_aml(make, why):
    with pytest.raises(ValueError, match="^AML: .*" + why):
        make()


@pytest.fixture(scope="module")
def iasl():
    program = shutil.which("iasl")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("iasl is not installed")
        pytest.skip("NOT JUDGED: iasl (acpica-tools) is not installed")
    return program


def test_intels_disassembler_reads_all_of_them(iasl, tmp_path):
    for data in acpi.tables(mmio=MMIO).values():
        if data[:3] == b"RSD":
            continue                       # it takes tables, and this is how they are found
        name = data[:4].decode()
        (tmp_path / f"{name}.dat").write_bytes(data)
        done = subprocess.run([iasl, "-d", f"{name}.dat"], cwd=tmp_path, capture_output=True, text=True)
        said = done.stdout + done.stderr
        assert done.returncode == 0 and (tmp_path / f"{name}.dsl").exists(), said
        assert not any(word in said for word in ("rror", "arning", "nvalid", "ncorrect")), said
    text = (tmp_path / "DSDT.dsl").read_text()
    for part in ('Name (_HID, "VMBus")', 'EisaId ("PNP0A03")', "0x0000001000000000", "Name (_S5, Package (0x04)", "WordBusNumber", "0xFEBFFFFF"):
        assert part in text
    assert "checksum" not in (tmp_path / "FACP.dsl").read_text().lower().replace("checksum :", "")


def test_intels_compiler_makes_our_bytes_again(iasl, tmp_path):
    """With one complaint: a _HID has seven or eight characters, says ACPI; "VMBus" is what Hyper-V has, and Linux looks for."""
    for vmbus, errors in ((False, 0), (True, 1)):
        ours = acpi.tables(vmbus, MMIO)[acpi.DSDT]
        (tmp_path / "DSDT.dat").write_bytes(ours)
        subprocess.run([iasl, "-d", "DSDT.dat"], cwd=tmp_path, capture_output=True, check=True)
        done = subprocess.run([iasl, "-f", "-p", "back", "DSDT.dsl"], cwd=tmp_path, capture_output=True, text=True)
        said = done.stdout + done.stderr
        assert f"{errors} Errors, 0 Warnings" in said, said
        assert not errors or "_HID string must be exactly 7 or 8 characters (VMBus)" in said
        assert (tmp_path / "back.aml").read_bytes()[36:] == ours[36:]       # the headers name their makers
