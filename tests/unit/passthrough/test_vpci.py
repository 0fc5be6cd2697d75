"""Virtual PCI: layouts byte by byte, the order of things, answers to what is out of order, and a host that lies."""

import pytest

from tests.passthrough_rig import DISK, Rig, bus_of, disk_of, one
from vmio.drivers.errors import DriverError
from vmio.drivers.vmbus import Rescinded
from vmio.machine.layout import guid_bytes
from vmio.vmbus.bus.messages import PCI_CLASS
from vmio.vmbus.pci import vpci as v

N = v.Message


def test_layouts():
    """Against Linux's structures in pci-hyperv.c."""
    sizes = {"QUERY_PROTOCOL_VERSION": 8, "QUERY_BUS_RELATIONS": 4, "QUERY_RESOURCE_REQUIREMENTS": 8, "BUS_D0ENTRY": 16,
             "BUS_D0EXIT": 4, "POWER_STATE_CHANGE": 16, "RESOURCES_ASSIGNED": 148, "RESOURCES_ASSIGNED2": 202,
             "RESOURCES_RELEASED": 8, "CREATE_INTERRUPT": 24, "CREATE_INTERRUPT2": 78, "CREATE_INTERRUPT3": 82,
             "DELETE_INTERRUPT": 24, "EJECT": 8, "EJECTION_COMPLETE": 12, "BUS_RELATIONS": 8, "BUS_RELATIONS2": 8}
    assert {name: v.LAYOUTS[N[name]].size for name in sizes} == sizes
    assert (v.FUNCTION.size, v.FUNCTION2.size, v.REQUIREMENTS.size, v.INTERRUPT_REPLY.size) == (20, 28, 28, 24)
    assert v.BUS_D0ENTRY.pack(window=0x1_0000_2000).hex() == "0700494200000000" + "0020000001000000"
    assert v.CREATE_INTERRUPT2.pack(slot=0x21, vector=0x50, count=1, processors=1, processor_array=b"\3\0").hex() == (
        "17004942" "21000000" "50" "00" "0100" "0100" "0300" + "00" * 62)
    assert v.INTERRUPT_REPLY.pack(count=1, data=0x1234, address=0xFEE0_0018).hex() == (
        "00000000" "00000000" "0000" "0100" "34120000" "1800e0fe00000000")
    assert v.slot_number(1, 2) == 0x41 and PCI_CLASS == guid_bytes("44c4f61d-4444-4400-9d52-802e27ede19f")
    assert "EJECT" in v.draw(v.EJECT.pack(slot=1))


@pytest.mark.parametrize("version", v.LINUX_VERSIONS)
def test_every_version_brings_the_device_up(version):
    rig = Rig()
    lent = rig.assign()

    def program(cpu):
        bus = yield from bus_of(cpu, versions=(0x2_0000, version))
        disk = yield from disk_of(cpu, bus)
        yield from one(disk, "read", 8, 8)
        return bus, cpu.read(0x30_0000, 4096)
    bus, read = rig.run(program)
    assert bus.version == version == lent.vsp.version and read == DISK[4096:8192]
    identity = bus.functions[0].identity
    assert (identity.vendor, identity.device, identity.class_code, identity.subclass, identity.interface) == (
        0x1B36, 0x10, 1, 8, 2)
    assert bus.functions[0].probed == (0xFFFF_C004, 0xFFFF_FFFF, 0, 0, 0, 0)
    assert not lent.vsp.refused


def test_the_order_of_messages_is_linuxs():
    rig, seen = Rig(), []
    lent = rig.assign()
    answer = lent.vsp.packet

    def watched(request, packet):
        seen.append(v.NAMES[int.from_bytes(packet.payload[:4], "little")])
        answer(request, packet)
    lent.vsp.packet = watched

    def program(cpu):
        yield from disk_of(cpu, (yield from bus_of(cpu)))
    rig.run(program)
    assert seen == ["QUERY_PROTOCOL_VERSION", "QUERY_BUS_RELATIONS", "QUERY_RESOURCE_REQUIREMENTS", "BUS_D0ENTRY",
                    "RESOURCES_ASSIGNED2", "CREATE_INTERRUPT3", "CREATE_INTERRUPT3"]


def test_the_hypercalls_name_of_a_function():
    """Linux drivers/pci/controller/pci-hyperv.c, hv_irq_retarget_interrupt: four bytes of the GUID, three bits of the slot."""
    instance = bytes(range(0xF0, 0x100))
    assert v.device_id(instance) == 0xF5F4_F7F0 and v.device_id(instance, 5 << 5 | 0x1F) == 0xF5F4_F7F5
    assert v.device_id(bytes(16), 7 << 5) == 7 and v.device_id(bytes(16), 1 << 8) == 0


def test_no_version_in_common():
    rig = Rig()
    rig.assign()

    def program(cpu):
        with pytest.raises(DriverError, match="no protocol version in common"):
            yield from bus_of(cpu, versions=(0x1_0000, 0x2_0000))
        return True
    assert rig.run(program)


def test_set_up_exits_are_counted_by_what_they_are_for():
    rig = Rig()
    rig.assign()

    def program(cpu):
        bus = yield from bus_of(cpu)
        vmbus = cpu.exits.total
        yield from disk_of(cpu, bus)
        return vmbus, cpu.exits.by_device(), cpu.exits.total
    vmbus, devices, total = rig.run(program)
    assert devices["nvme0 MSI-X"] == 10          # two entries of five stores
    assert devices["vpci config"] > 10 and total < 150


def lying(rig, kind, answer):
    """Let the host answer messages of this name with `answer` (bytes)."""
    vsp = rig.function.assigned_to.vsp
    layout, _ = vsp._MESSAGES[N[kind]]
    vsp._MESSAGES = {**vsp._MESSAGES, N[kind]: (layout, lambda self, record: answer)}
    return vsp


@pytest.mark.parametrize("kind, answer, error", [
    ("QUERY_PROTOCOL_VERSION", b"", "QUERY_PROTOCOL_VERSION|version"),
    ("QUERY_PROTOCOL_VERSION", v.STATUS.pack(status=v.UNSUCCESSFUL), "version: status 0xc0000001"),
    ("QUERY_RESOURCE_REQUIREMENTS", v.STATUS.pack(), "REQUIREMENTS"),
    ("BUS_D0ENTRY", v.STATUS.pack(status=v.INVALID_DEVICE_STATE), "D0 entry: status 0xc0000184 invalid device state"),
    ("RESOURCES_ASSIGNED2", v.STATUS.pack(status=v.INVALID_PARAMETER), "resources assigned"),
    ("CREATE_INTERRUPT3", v.STATUS.pack(), "INTERRUPT_REPLY")])
def test_a_host_that_lies_is_a_driver_error(kind, answer, error):
    rig = Rig()
    rig.assign()
    lying(rig, kind, answer)

    def program(cpu):
        with pytest.raises(DriverError, match=error):
            yield from disk_of(cpu, (yield from bus_of(cpu)))
        return True
    assert rig.run(program)


@pytest.mark.parametrize("relations", [
    v.BUS_RELATIONS2.pack(count=0xFFFF_FFFF), v.BUS_RELATIONS2.pack(count=2, functions=v.FUNCTION2.pack()),
    b"\0", b"", bytes(64)])
def test_relations_that_are_too_short_are_ignored(relations):
    rig = Rig()
    lent = rig.assign()
    vsp = lent.vsp
    layout, honest = vsp._MESSAGES[N["QUERY_BUS_RELATIONS"]]

    def lie(self, record):
        self.post(relations)
        return honest(self, record)
    vsp._MESSAGES = {**vsp._MESSAGES, N["QUERY_BUS_RELATIONS"]: (layout, lie)}
    bus = rig.run(bus_of)
    assert bus.unknown == 1 and len(bus.functions) == 1


def test_rescinded_while_the_guest_waits():
    rig = Rig()
    lent = rig.assign()
    vsp = lent.vsp
    layout, _ = vsp._MESSAGES[N["BUS_D0ENTRY"]]

    def take_away(self, record):
        lent.take_back()
        return v.SUCCESS
    vsp._MESSAGES = {**vsp._MESSAGES, N["BUS_D0ENTRY"]: (layout, take_away)}

    def program(cpu):
        with pytest.raises(Rescinded):
            yield from bus_of(cpu)
        return True
    assert rig.run(program)
