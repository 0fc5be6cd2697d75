"""Layouts and control messages, against sizes and offsets of Linux's include/linux/hyperv.h."""

import pytest

from vmio.machine.layout import Layout, ShortMessage, guid_bytes, guid_text, raw, u8, u16, u32
from vmio.vmbus.bus import messages as m

SIZES = {1: 196, 2: 12, 3: 8, 4: 8, 5: 148, 6: 20, 7: 12, 8: 28, 9: 16, 10: 20, 11: 16, 12: 12, 13: 12, 14: 40,
         15: 16, 16: 8, 17: 8, 18: 28, 19: 20, 20: 12, 21: 40, 22: 16, 23: 44, 24: 16}
POINT = Layout("POINT", u8("kind", names={1: "corner"}), u16("x", "to the right"), u32("y", default=7), raw("name", 12),
               tail="links", each="Q")


def test_every_message_has_its_size():
    assert m.MINIMUM == SIZES
    assert m.INITIATE_CONTACT_OLD.size == 40
    assert (m.HEADER_PAGES, m.BODY_PAGES) == (26, 28)


@pytest.mark.parametrize("layout, offsets", [
    (m.OFFERCHANNEL, dict(interface_type=8, instance=24, flags=56, mmio_megabytes=58, user=60, subchannel=180,
                          relid=184,
                          monitor_id=188, monitor_allocated=189, dedicated_interrupt=190,
                          connection_id=192)),
    (m.OPENCHANNEL, dict(relid=8, open_id=12, gpadl=16, target_vp=20, downstream_page=24, user=28)),
    (m.GPADL_HEADER, dict(relid=8, gpadl=12, range_bytes=16, ranges=18, byte_count=20, byte_offset=24)),
    (m.GPADL_BODY, dict(number=8, gpadl=12)),
    (m.INITIATE_CONTACT, dict(version=8, target_vp=12, sint=16, vtl=17, features=20, monitor_page1=24,
                              monitor_page2=32)),
    (m.VERSION_RESPONSE, dict(supported=8, state=9, connection_id=12)),
    (m.TL_CONNECT_RESULT, dict(endpoint=8, service=24, status=40)),
])
def test_fields_lie_where_they_should(layout, offsets):
    assert {name: layout.by_name[name].offset for name in offsets} == offsets


def test_contact_and_its_answer_to_the_byte():
    contact = m.INITIATE_CONTACT.pack(version=m.V5_3, monitor_page1=0x10000, monitor_page2=0x11000)
    assert contact.hex() == "0e000000000000000300050000000000" "0200000000000000" "0000010000000000" "0010010000000000"
    answer = m.VERSION_RESPONSE.pack(supported=1, connection_id=m.MESSAGE_CONNECTION)
    assert answer.hex() == "0f00000000000000" "0100000001000000"


def test_guids_on_the_wire():
    assert m.SCSI_CLASS.hex() == "d96361baa104294db60572e2ffb1dc7f"
    assert m.NIC_CLASS.hex() == "635161f83edfc546913ff2d2f965ed0e"
    assert guid_text(guid_bytes("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f")) == "ba6163d9-04a1-4d29-b605-72e2ffb1dc7f"


def test_linux_asks_for_versions_in_this_order():
    assert [m.version_text(v) for v in m.LINUX_VERSIONS] == "5.3 5.2 5.1 5.0 4.1 4.0 3.0 2.4".split()


@pytest.mark.parametrize("pages, expected", [(1, [1]), (26, [26]), (27, [26, 1]), (54, [26, 28]), (55, [26, 28, 1]),
                                             (64, [26, 28, 10])])
def test_a_gpadl_is_cut_into_messages(pages, expected):
    numbers = list(range(100, 100 + pages))
    sent = m.gpadl_messages(1, m.FIRST_GPADL, numbers)
    records = [m.parse(data)[1] for data in sent]
    assert [len(record.pages) for record in records] == expected
    assert [page for record in records for page in record.pages] == numbers
    assert records[0].range_bytes == 8 + 8 * pages and records[0].byte_count == 4096 * pages
    assert all(len(data) <= m.MAX_MESSAGE for data in sent)


def test_parse_knows_every_message_and_refuses_the_rest():
    for number, layout in m.LAYOUTS.items():
        found, record = m.parse(layout.pack())
        assert found is layout and record.type == number
        assert m.parse(layout.pack() + bytes(8))[0] is layout  # longer is accepted
        with pytest.raises(ShortMessage) as short:
            m.parse(layout.pack()[:-1])
        assert short.value.got == short.value.needed - 1
    with pytest.raises(m.UnknownMessage) as unknown:
        m.parse(m.HEADER.pack(type=99))
    assert unknown.value.number == 99


def test_pack_and_parse_are_each_others_inverse():
    data = POINT.pack(kind=1, x=0x1234, name=b"ab", links=[5, 6])
    assert len(data) == POINT.size + 16
    record = POINT.parse(data)
    assert record == (1, 0x1234, 7, b"ab" + bytes(10), (5, 6))
    assert POINT.parse(b"??" + data, 2) == record
    assert POINT.parse(data[:-1]).links == (5,)  # whole items only


def test_what_doesnt_fit_is_refused():
    with pytest.raises(ValueError, match="POINT"):
        POINT.pack(x=0x10000)
    with pytest.raises(ValueError, match="POINT.name: 13 bytes in a field of 12"):
        POINT.pack(name=bytes(13))
    with pytest.raises(TypeError, match="POINT has no field z"):
        POINT.pack(z=1)
    with pytest.raises(ShortMessage, match="POINT: 3 bytes, 19 needed"):
        POINT.parse(bytes(3))


def test_big_endian_for_scsi():
    cdb = Layout("READ10", u8("opcode", default=0x28), u8("flags"), u32("lba"), u8("group"), u16("blocks"),
                 u8("control"), order=">")
    assert cdb.pack(lba=128, blocks=16).hex() == "28000000008000001000"


def test_drawing():
    assert POINT.draw(POINT.pack(kind=1, x=300, name=b"ab", links=[5, 6])).splitlines() == [
        "POINT: 35 bytes",
        "  at  bytes                    field  value",
        "   0  01                       kind   1 corner",
        "   1  2c 01                    x      0x12c  (to the right)",
        "   3  07 00 00 00              y      7",
        "   7  61 62 00 00 00 00 00 00  name   'ab'",
        "  15  00 00 00 00",
        "  19  05 00 00 00 00 00 00 00  links  0x5, 0x6",
        "  27  06 00 00 00 00 00 00 00",
    ]
    assert "00 x 120" in m.draw(m.OPENCHANNEL.pack(relid=1))
    assert all(len(line) < 110 for layout in m.LAYOUTS.values() for line in layout.draw(layout.pack()).splitlines())
