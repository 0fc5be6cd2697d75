"""StorVSP by itself: start-up, requests in and out of order, and everything that must be refused."""

import struct

import pytest

from tests.storage_rig import Rig, read10, srb, write10
from vmio.experiments.disk import pattern
from vmio.machine.overlay import Overlay
from vmio.vmbus.bus.packets import COMPLETION, COMPLETION_REQUESTED, TRANSFER_PAGES, TransferPages
from vmio.vmbus.storage import vstor as v

INQUIRY = "12 00 00 00 24 00"


def test_layouts_are_the_published_ones():
    assert {layout.size for layout in (v.PACKET, v.VERSION, v.PROPERTIES, v.SUBCHANNELS, v.SRB)} == {64}
    offsets = {name: field.offset - 12 for name, field in v.SRB.by_name.items()}
    assert (offsets["srb_status"], offsets["lun"], offsets["cdb_length"], offsets["direction"]) == (2, 7, 8, 10)
    assert (offsets["transfer_length"], offsets["cdb"], offsets["queue_tag"], offsets["sort_key"]) == (12, 16, 38, 48)
    payload = bytes.fromhex("030000000100000000000000 34000000 00000000 0a140100 00200000 2800"
                            "00000080000010 00000000000000 00000000 0000ff20 4a010000 3c000000 00000000")
    record = v.SRB.parse(payload)
    assert (record.length, record.cdb_length, record.direction, record.transfer_length) == (52, 10, 1, 8192)
    assert v.SRB.pack(**record._asdict()) == payload
    assert "EXECUTE_SRB" in v.draw(payload)


def test_start_up():
    rig = Rig(max_subchannels=0)
    assert rig.control(v.BEGIN_INITIALIZATION)[0] == 0
    status, answer = rig.control(v.QUERY_PROTOCOL_VERSION, version=0x0603)
    assert status == v.REVISION_MISMATCH and v.VERSION.parse(answer).version == 0x0603
    status, answer = rig.control(v.QUERY_PROTOCOL_VERSION, version=v.WIN10)
    assert status == 0 and v.VERSION.parse(answer).version == v.WIN10 and rig.vsp.version == v.WIN10
    status, answer = rig.control(v.QUERY_PROPERTIES)
    properties = v.PROPERTIES.parse(answer)
    assert (status, properties.max_subchannels, properties.properties, properties.max_transfer) == (0, 0, 0, 0x40000)
    assert rig.control(v.FCHBA_DATA)[0] == 0
    assert rig.control(v.END_INITIALIZATION)[0] == 0
    assert rig.srb(INQUIRY, 36).status == 0


@pytest.mark.parametrize("steps", range(4))
def test_out_of_order_is_refused_and_changes_nothing(steps):
    rig = Rig()
    order = [(v.BEGIN_INITIALIZATION, {}), (v.QUERY_PROTOCOL_VERSION, {"version": v.WIN8}), (v.QUERY_PROPERTIES, {}),
             (v.END_INITIALIZATION, {})]
    for operation, fields in order[:steps]:
        assert rig.control(operation, **fields)[0] == 0
    for operation, fields in order:
        if operation != order[steps][0]:
            assert rig.control(operation, **fields)[0] == v.INVALID_DEVICE_STATE
    for operation in (v.COMPLETE_IO, v.REMOVE_DEVICE, v.RESET_LUN, v.ENUMERATE_BUS, v.EVENT_NOTIFICATION, v.EXECUTE_SRB):
        assert rig.control(operation)[0] == v.INVALID_DEVICE_STATE
    for operation, fields in order[steps:]:
        assert rig.control(operation, **fields)[0] == 0
    assert rig.control(v.RESET_LUN)[0] == rig.control(v.RESET_BUS)[0] == rig.control(v.RESET_ADAPTER)[0] == 0
    assert rig.control(v.BEGIN_INITIALIZATION)[0] == v.INVALID_DEVICE_STATE
    assert not rig.backend.log and rig.errors == []


def test_the_answer_is_as_long_as_the_request():
    rig = Rig()
    assert len(rig.ask(v.PACKET.pack(operation=v.BEGIN_INITIALIZATION)[:48])) == 48
    assert len(rig.ask(v.VERSION.pack(operation=v.QUERY_PROTOCOL_VERSION, version=v.WIN7)[:48])) == 48
    assert len(rig.ask(v.PACKET.pack(operation=v.QUERY_PROPERTIES) + bytes(100))) == 64


def test_old_guests_send_short_requests():
    rig = Rig().ready(v.WIN6)
    payload, ranges = srb(read10(8, 8), 4096)
    answer = rig.ask(payload[:48], 7, ranges)
    assert len(answer) == 48 and answer[14] == v.SRB_SUCCESS
    assert rig.guest.memory.read(0x10000, 4096) == rig.image.read(8, 8)


def test_a_read_lands_in_the_guests_own_pages():
    rig = Rig().ready()
    pages = (0x30, 0x11, 0x22)
    answer = rig.srb(read10(3, 16), 8192, ranges=((8192, 0x200, pages),))
    assert (answer.status, answer.srb_status, answer.scsi_status, answer.transfer_length) == (0, 1, 0, 8192)
    assert answer.cdb == bytes(20) and answer.sense_length == 20
    memory = rig.guest.memory
    data = memory.read(0x30200, 0xE00) + memory.read(0x11000, 0x1000) + memory.read(0x22000, 0x200)
    assert data == rig.image.read(3, 16)
    assert memory.read(0x30000, 0x200) == bytes(0x200) and memory.read(0x22200, 0xE00) == bytes(0xE00)
    (name, kind, lba, sectors, spas), = rig.backend.log
    assert (name, kind, lba, sectors) == ("guest0", "read", 3, 16)
    assert spas == [rig.guest.ram_spa(0x30200), rig.guest.ram_spa(0x11000), rig.guest.ram_spa(0x22000)]


def test_a_write_and_one_that_must_be_on_the_medium():
    rig = Rig(Overlay(pattern(1))).ready()
    rig.guest.memory.write(0x10000, b"w" * 4096)
    assert rig.srb(write10(8, 8), 4096, v.TO_DEVICE).status == 0
    assert rig.image.read(8, 8) == b"w" * 4096
    assert rig.srb(write10(16, 8, fua=True), 4096, v.TO_DEVICE).status == 0
    assert [entry[1] for entry in rig.backend.log] == ["write", "write", "flush"]
    assert rig.vsp.in_flight == 0


def test_commands_answered_without_the_medium():
    rig = Rig().ready()
    answer = rig.srb("12 00 00 00 ff 00", 255)
    assert (answer.srb_status, answer.transfer_length) == (1, 36)
    assert rig.guest.memory.read(0x10008, 8) == b"Msft    "
    assert rig.srb("12 00 00 00 ff 00", 5).transfer_length == 5           # cut to the buffer
    assert rig.srb("00 00 00 00 00 00").srb_status == 1
    assert rig.backend.log == []


def test_errors_of_the_disk_come_with_sense():
    rig = Rig().ready()
    answer = rig.srb(read10(rig.image.sectors, 1), 512)
    assert (answer.status, answer.srb_status, answer.scsi_status) == (v.IO_DEVICE_ERROR, 0x84, 2)
    assert answer.sense_length == 18 and (answer.cdb[2], answer.cdb[12]) == (5, 0x21) and answer.cdb[18:] == bytes(2)
    assert answer.transfer_length == 0
    rig.backend.status = 0x281
    answer = rig.srb(read10(0, 1), 512)
    assert (answer.srb_status, answer.cdb[2], answer.cdb[12], answer.transfer_length) == (0x84, 3, 0x11, 0)
    assert rig.srb(write10(0, 1), 512, v.TO_DEVICE).cdb[12] == 0x0C
    assert rig.srb("35").cdb[2] == 4


def test_units_that_are_not_there():
    rig = Rig().ready()
    for place in ({"lun": 1}, {"target": 1}, {"path": 2}, {"lun": 255}):
        answer = rig.srb(INQUIRY, 36, **place)
        assert answer.srb_status == 1 and rig.guest.memory.read(0x10000, 1) == b"\x7f"
        for cdb in (read10(0, 1), "12 01 80 00 ff 00"):
            answer = rig.srb(cdb, 512, **place)
            assert (answer.status, answer.srb_status, answer.scsi_status) == (v.NO_SUCH_DEVICE, 0x20, 2)
    assert rig.backend.log == []


@pytest.mark.parametrize("place, luns", [({"target": 1}, ()), ({"path": 1}, ()), ({"target": 255, "lun": 3}, ()),
                                         ({"lun": 7}, (0, 5)), ({}, (0, 5))])
def test_report_luns_is_answered_for_every_target(place, luns):
    """Linux scans further targets by REPORT LUNS; an invalid LUN makes it remove the unit (storvsc_handle_error)."""
    rig = Rig()
    rig.vsp.disks[5] = rig.vsp.disks[0]
    rig.target.luns = (0, 5)
    rig.ready()
    answer = rig.srb("a0 00 00 00 00 00 00 00 10 00 00 00", 4096, **place)
    expected = struct.pack(">I4x", 8 * len(luns)) + b"".join(bytes((0, lun)) + bytes(6) for lun in luns)
    assert (answer.status, answer.srb_status, answer.scsi_status, answer.transfer_length) == (0, 1, 0, len(expected))
    assert rig.guest.memory.read(0x10000, len(expected)) == expected
    assert rig.srb("a0 00 01 00 00 00 00 00 10 00 00 00", 4096, **place).transfer_length == 8      # well-known units
    assert rig.srb("a0 00 00 00 00 00 00 00 00 0f 00 00", 4096, **place).cdb[2:14:10] == bytes((5, 0x24))


@pytest.mark.parametrize("change, expected", [
    ({"cdb_length": 0}, v.SRB_INVALID_REQUEST),
    ({"cdb_length": 17}, v.SRB_INVALID_REQUEST),
    ({"direction": 3}, v.SRB_INVALID_REQUEST),
    ({"direction": v.NO_DATA}, v.SRB_INVALID_REQUEST),
    ({"direction": v.TO_DEVICE}, v.SRB_INVALID_REQUEST),                      # a read, the wrong way round
    ({"ranges": ()}, v.SRB_INVALID_REQUEST),
    ({"ranges": ((4095, 0, (16,)),)}, v.SRB_INVALID_REQUEST),                  # shorter than the transfer
    ({"ranges": ((2048, 0, (16,)), (2048, 0, (17,)))}, v.SRB_INVALID_REQUEST),
    ({"ranges": ((4096, 0, (1 << 40,)),)}, v.SRB_INVALID_REQUEST),             # no such page
    ({"ranges": ((4096, 0, ((1 << 64) - 1,)),)}, v.SRB_INVALID_REQUEST),
    ({"ranges": ((4096, 0, (1024,)),)}, v.SRB_INVALID_REQUEST),                # the first behind the guest's RAM
    ({"ranges": ((4096, 0x10, (16, 1024)),)}, v.SRB_INVALID_REQUEST),
    ({"transfer_length": 0x41000, "ranges": ((0x41000, 0, tuple(range(65))),)}, v.SRB_INVALID_REQUEST),
    ({"transfer_length": 2048}, v.SRB_DATA_OVERRUN),                           # the CDB moves more
    ({"transfer_length": 0, "ranges": ()}, v.SRB_DATA_OVERRUN)])
def test_requests_that_cannot_be(change, expected):
    rig = Rig().ready()
    before = rig.host.memory.read(0, rig.host.memory.size)
    ranges = change.pop("ranges", None)
    payload, own = srb(read10(0, 8), 4096, **change)
    answer = v.SRB.parse(rig.ask(payload, 7, own if ranges is None else ranges))
    assert (answer.srb_status, answer.scsi_status, answer.transfer_length) == (expected, 0, 0)
    assert answer.status == (v.DATA_OVERRUN_STATUS if expected == v.SRB_DATA_OVERRUN else v.IO_DEVICE_ERROR)
    assert rig.backend.log == [] and rig.errors == []
    assert rig.host.memory.read(0, rig.host.memory.size) == before
    assert rig.srb(INQUIRY, 36).srb_status == 1


def test_a_page_of_the_hypervisors_is_not_the_guests():
    rig = Rig().ready()
    page = rig.host.memory.allocate(1)
    rig.guest.slat.map(0x10000, page, 4096, 3)
    assert rig.srb(read10(0, 8), 4096).srb_status == v.SRB_INVALID_REQUEST
    rig.guest.slat.map(0x10000, rig.guest.ram_spa(0x10000), 4096, 1)           # read-only: good for a write alone
    assert rig.srb(read10(0, 8), 4096).srb_status == v.SRB_INVALID_REQUEST
    assert rig.srb(INQUIRY, 36).srb_status == v.SRB_INVALID_REQUEST


@pytest.mark.parametrize("payload, options", [
    (bytes(8), {}), (bytes(40), {"number": 1}), (bytes(64), {}),
    (v.PACKET.pack(operation=15), {}), (v.PACKET.pack(operation=0xFFFFFFFF), {}),
    (v.PACKET.pack(operation=v.BEGIN_INITIALIZATION), {"want_completion": False})])
def test_what_is_no_request_ends_the_channel(payload, options):
    rig = Rig().ready()
    number = options.pop("number", 5)
    rig.end.send(payload, number, **{"want_completion": True, **options})
    assert rig.run() == []
    assert len(rig.errors) == 1 and rig.vsp.corrupt == 1 and rig.vsp.worker is None
    rig.end.send(payload, number, want_completion=True)                         # nobody listens, nobody minds
    assert rig.run() == []


@pytest.mark.parametrize("kind, ranges, said", [
    (COMPLETION, (), "record of type 11,"), (TRANSFER_PAGES, TransferPages(1, ((64, 0),)), "record of type 7,"),
    (8, (), "type 0x8,"), (0, (), "type 0x0,")])
def test_only_inband_and_gpa_direct_records_are_requests(kind, ranges, said):
    rig = Rig().ready()
    rig.end.outgoing.send(kind, srb("00 00 00 00 00 00")[0], 5, COMPLETION_REQUESTED, ranges)
    rig.host_end.interrupted()
    assert rig.run() == [] and rig.vsp.requests == 0 and said in str(*rig.errors)


def test_unmap_goes_to_the_medium_as_zeros():
    rig = Rig().ready()
    rig.target.unmap = True
    rig.guest.memory.write(0x10000, bytes.fromhex("0016 0010 00000000 0000000000000040 00000008 00000000"))
    assert rig.srb("42 00 00 00 00 00 00 00 18 00", 24, v.TO_DEVICE).srb_status == 1
    assert rig.backend.log == [("guest0", "zero", 64, 8, [])]
    assert rig.srb("42 00 00 00 00 00 00 00 18 00", 24, v.TO_DEVICE, ranges=((24, 0, (1 << 30,)),)).srb_status == 6
    assert rig.srb("42 00 00 00 00 00 00 00 18 00", 24, v.TO_GUEST).cdb[12] == 0x1A    # no parameters came
