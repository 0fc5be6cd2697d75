"""The SCSI disk: each CDB that Linux sends, each kind of refusal, and any sixteen bytes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmio.vmbus.storage.scsi import Answer, Media, ScsiTarget, sense_data

SECTORS = 2048


def target(**options):
    return ScsiTarget(SECTORS, **options)


def ask(text, data=b"", **options):
    """A CDB in hex, filled up with zeros."""
    return target(**options).execute(bytes.fromhex(text), data)


def sense(answer):
    assert answer.status == 2 and answer.data == b"" and len(answer.sense) == 18 and answer.sense[7] == 10
    return answer.sense[2], answer.sense[12], answer.sense[13]


def test_inquiry():
    data = ask("12 00 00 00 24 00").data
    assert len(data) == 36 and data[:8].hex() == "000006021f000002"
    assert data[8:] == b"Msft    Virtual Disk    1.0 "
    assert len(ask("12 00 00 00 05 00").data) == 5
    assert ask("12 00 00 00 00 00") == Answer(0, b"", b"")


def test_vital_product_data():
    pages = ask("12 01 00 00 ff 00").data
    assert pages.hex() == "00000006" + "008083b0b1b2"
    for page in pages[4:]:
        data = ask(f"12 01 {page:02x} 00 ff 00").data
        assert data[1] == page and int.from_bytes(data[2:4], "big") == len(data) - 4
    assert ask("12 01 80 00 ff 00", serial="S1").data[4:] == b"S1"
    assert sense(ask("12 01 89 00 ff 00")) == sense(ask("12 00 80 00 ff 00")) == (5, 0x24, 0)


def test_block_limits_and_provisioning():
    data = ask("12 01 b0 00 ff 00").data
    assert len(data) == 64
    assert struct.unpack_from(">II", data, 8) == (512, 512) and struct.unpack_from(">II", data, 20) == (0, 0)
    data = ask("12 01 b0 00 ff 00", unmap=True, max_transfer=0x10000).data
    assert struct.unpack_from(">I", data, 8) == (128,) and struct.unpack_from(">III", data, 20) == (65536, 1, 8)
    assert ask("12 01 b1 00 ff 00").data[4:6] == b"\0\1" and len(ask("12 01 b1 00 ff 00").data) == 64
    assert ask("12 01 b2 00 ff 00").data[5] == 0 and ask("12 01 b2 00 ff 00", unmap=True).data[5] == 0x84


def test_identification_has_two_designators():
    data, at, kinds = ask("12 01 83 00 ff 00").data, 4, []
    while at < len(data):
        kinds.append((data[at] & 0xF, data[at + 1] & 0xF))
        at += 4 + data[at + 3]
    assert at == len(data) and kinds == [(2, 1), (1, 3)]
    assert data[-8] >> 4 == 3
    text = data[8:-12]                                  # SPC-4, 7.8.6: code set, association and type, reserved, length
    assert data[:8] == bytes((0, 0x83, 0, len(data) - 4, 2, 1, 0, len(text))) and text[:8].isascii()
    assert data[-12:-8] == bytes((1, 3, 0, 8))


def test_luns():
    disk = target()
    disk.luns = (0, 3)
    data = disk.execute(bytes.fromhex("a0 00 00 00 00 00 00 00 10 00 00 00")).data
    assert data.hex() == "00000010 00000000".replace(" ", "") + "0000000000000000" + "0003000000000000"
    assert disk.execute(bytes.fromhex("a0 00 00 00 00 00 00 00 00 10 00 00")).data == data[:16]      # the least there may be
    assert sense(ask("a0 00 00 00 00 00 00 00 00 0f")) == (5, 0x24, 0)
    assert sense(ask("a0 00 07 00 00 00 00 00 10 00")) == (5, 0x24, 0)


def test_capacity():
    assert ask("25") == Answer(0, struct.pack(">II", 2047, 512), b"")
    data = ask("9e 10 00 00 00 00 00 00 00 00 00 00 00 20").data
    assert len(data) == 32 and struct.unpack_from(">QI", data) == (2047, 512) and data[14] == 0
    assert ask("9e 10 00 00 00 00 00 00 00 00 00 00 00 20", unmap=True).data[14] == 0xC0
    assert sense(ask("9e 11")) == (5, 0x24, 0)
    large = ScsiTarget(1 << 40)
    assert large.execute(b"\x25").data[:4] == b"\xff" * 4
    assert large.execute(bytes.fromhex("9e 10 00 00 00 00 00 00 00 00 00 00 00 08")).data == struct.pack(">Q", (1 << 40) - 1)


def test_mode_sense():
    data = ask("1a 00 3f 00 04 00").data
    assert data == bytes((43, 0, 0x10, 8))
    assert ask("1a 00 3f 00 ff 00", read_only=True).data[2] == 0x90
    whole = ask("1a 08 08 00 ff 00").data
    assert whole[:4] == bytes((23, 0, 0x10, 0)) and whole[4:7] == bytes((0x08, 0x12, 0x04)) and len(whole) == 24
    changeable = ask("1a 08 48 00 ff 00").data
    assert changeable[4:] == bytes((0x08, 0x12, 0x04)) + bytes(17)      # WCE and nothing else
    ten = ask("5a 00 08 00 00 00 00 00 ff").data
    assert struct.unpack_from(">HBBHH", ten) == (len(ten) - 2, 0, 0x10, 0, 8)
    assert struct.unpack_from(">II", ten, 8) == (2048, 512)
    assert sense(ask("1a 00 c8 00 ff 00")) == (5, 0x39, 0)
    for bad in ("1a 00 00 00 ff 00", "1a 00 1c 00 ff 00", "1a 00 08 01 ff 00", "1a 00 08 ff ff 00"):
        assert sense(ask(bad)) == (5, 0x24, 0)


def test_ready_sense_start_and_stop():
    disk = target()
    assert disk.execute(bytes(6)) == Answer(0)
    assert disk.execute(bytes.fromhex("03 00 00 00 ff 00")).data == sense_data((0, 0, 0))
    assert disk.execute(bytes.fromhex("03 01 00 00 ff 00")).data == bytes((0x72, 0, 0, 0, 0, 0, 0, 0))
    assert disk.execute(bytes.fromhex("1b 00 00 00 00 00")) == Media("flush", 0, 0)
    stopped = (2, 4, 2)
    for cdb in ("00", "28 00 00 00 00 00 00 00 01", "25", "9e 10", "35"):
        assert sense(disk.execute(bytes.fromhex(cdb))) == stopped
    assert disk.execute(bytes.fromhex("03 01 00 00 ff 00")).data[1:4] == bytes(stopped)
    assert disk.execute(bytes.fromhex("1b 00 00 00 01 00")) == Answer(0)
    assert disk.execute(bytes(6)) == Answer(0)
    assert sense(ask("1b 00 00 00 02 00")) == sense(ask("1b 00 00 00 11 00")) == (5, 0x24, 0)


@pytest.mark.parametrize("cdb, expected", [
    ("08 00 00 10 08 00", Media("read", 16, 8)),
    ("08 00 00 10 00 00", Media("read", 16, 256)),
    ("0a e0 00 10 08 00", Media("write", 16, 8)),
    ("28 00 00 00 00 10 00 00 08 00", Media("read", 16, 8)),
    ("2a 08 00 00 00 10 00 00 08 00", Media("write", 16, 8, True)),
    ("28 08 00 00 00 10 00 00 08 00", Media("read", 16, 8, True)),
    ("a8 00 00 00 00 10 00 00 00 08 00 00", Media("read", 16, 8)),
    ("aa 00 00 00 00 10 00 00 00 08 00 00", Media("write", 16, 8)),
    ("88 00 00 00 00 00 00 00 00 10 00 00 00 08 00 00", Media("read", 16, 8)),
    ("8a 00 00 00 00 00 00 00 00 10 00 00 00 08 00 00", Media("write", 16, 8)),
    ("28 00 00 00 07 ff 00 00 01 00", Media("read", 2047, 1)),
    ("28 00 00 00 08 00 00 00 00 00", Answer(0)),
    ("35", Media("flush", 0, 0)),
    ("91", Media("flush", 0, 0)),
    ("2f 00 00 00 00 10 00 00 08 00", Answer(0)),
    ("8f 00 00 00 00 00 00 00 00 10 00 00 00 08 00 00", Answer(0))])
def test_the_medium(cdb, expected):
    assert ask(cdb) == expected


@pytest.mark.parametrize("cdb, codes", [
    ("28 00 00 00 08 00 00 00 01 00", (5, 0x21, 0)),
    ("28 00 00 00 07 ff 00 00 02 00", (5, 0x21, 0)),
    ("28 00 00 00 08 01 00 00 00 00", (5, 0x21, 0)),
    ("88 00 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", (5, 0x21, 0)),
    ("35 00 00 00 08 00 00 00 01 00", (5, 0x21, 0)),
    ("2f 00 00 00 08 00 00 00 01 00", (5, 0x21, 0)),
    ("28 20 00 00 00 00 00 00 01 00", (5, 0x24, 0)),
    ("2f 02 00 00 00 00 00 00 01 00", (5, 0x24, 0)),
    ("42 00 00 00 00 00 00 00 18 00", (5, 0x20, 0)),
    ("94", (5, 0x20, 0)), ("85", (5, 0x20, 0)), ("a3 0c", (5, 0x20, 0)), ("ff", (5, 0x20, 0)), ("", None)])
def test_refusals(cdb, codes):
    answer = ask(cdb)
    assert answer == Answer(0) if codes is None else sense(answer) == codes


def test_where_the_range_ends_is_in_the_sense_data():
    answer = ask("28 00 00 00 07 ff 00 00 02 00")
    assert answer.sense[0] == 0xF0 and struct.unpack_from(">I", answer.sense, 3) == (2048,)


def test_read_only():
    assert sense(ask("2a 00 00 00 00 00 00 00 01 00", read_only=True)) == (7, 0x27, 0)


def unmap(data, length=None):
    return target(unmap=True).execute(struct.pack(">B6xH7x", 0x42, len(data) if length is None else length), data)


def test_unmap():
    one = struct.pack(">QI4x", 100, 8)
    assert unmap(struct.pack(">HH4x", 22, 16) + one) == Media("zero", 100, 8)
    assert unmap(b"") == Answer(0) == unmap(struct.pack(">HH4x", 6, 0))
    assert unmap(struct.pack(">HH4x", 22, 16) + one[:15]) == Answer(0)          # a descriptor that is cut off is none
    assert sense(unmap(b"abc")) == (5, 0x1A, 0)
    assert sense(unmap(struct.pack(">HH4x", 38, 32) + one + one)) == (5, 0x26, 0)
    assert sense(unmap(struct.pack(">HH4xQI4x", 22, 16, 0, 65537))) == (5, 0x26, 0)
    assert sense(unmap(struct.pack(">HH4xQI4x", 22, 16, 2047, 2))) == (5, 0x21, 0)


@pytest.mark.parametrize("bad", [{"sectors": 0}, {"sectors": 1, "vendor": "too long a name"},
                                 {"sectors": 1, "product": "Käse"}])
def test_what_no_disk_can_be(bad):
    with pytest.raises(ValueError):
        ScsiTarget(**bad)


@given(cdb=st.binary(max_size=20), data=st.binary(max_size=64), flags=st.tuples(st.booleans(), st.booleans()))
def test_any_bytes_have_an_answer(cdb, data, flags):
    disk = target(unmap=flags[0], read_only=flags[1])
    for _ in range(2):
        result = disk.execute(cdb, data)
        if isinstance(result, Media):
            assert result.lba + result.sectors <= SECTORS
            assert result.kind in ("read", "write", "same", "zero", "flush")
        else:
            assert (result.status == 0) == (result.sense == b"") and len(result.data) <= 65536
