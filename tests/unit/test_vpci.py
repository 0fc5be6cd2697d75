"""Virtual PCI: layouts byte by byte, the order of things, answers to what is out of order, and a host that lies."""

import struct

import pytest

from tests.passthrough_rig import DISK, MMIO, Rig, bus_of, disk_of, one
from vmio.drivers.errors import DriverError
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import Rescinded, VmBusClient
from vmio.machine.layout import guid_bytes
from vmio.vmbus.bus.messages import PCI_CLASS
from vmio.vmbus.bus.packets import COMPLETION, INBAND
from vmio.vmbus.pci import vpci as v

N = v.Message
BASE = 0x42490000


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


# A guest that says whatever it likes, in a program of its own.

class Raw:
    """A channel of the rig's guest: `ask(bytes)` gives the completion's payload, `messages` what came unasked."""

    def __init__(self, cpu):
        self.client, self.messages, self.answers = VmBusClient(cpu, GuestPages(0x10_0000, 0x20_0000)), [], {}
        self.cpu = cpu

    def open(self):
        yield from self.client.connect()
        self.channel, = yield from self.client.request_offers()
        yield from self.client.open(self.channel, pages=5, on_signal=self._look)
        return self

    def _look(self, cpu):
        end = self.channel.end
        end.begin_read()
        while True:
            while (packet := end.receive()) is not None:
                if packet.kind == COMPLETION:
                    self.answers[packet.transaction_id] = packet.payload
                else:
                    self.messages.append(packet.payload)
            if not end.end_read():
                return

    def ask(self, payload):
        self.answers.clear()
        self.channel.end.send(payload, 7, want_completion=True)
        yield from self.cpu.hlt(10**6)
        while not self.answers:
            assert (yield from self.cpu.hlt(10**9))
        return self.answers[7]

    def status(self, payload):
        return int.from_bytes((yield from self.ask(payload))[:4], "little")


def talk(rig, *messages, ready=True):
    """The statuses of messages sent in a row, after the version unless not `ready`."""
    def program(cpu):
        raw = yield from Raw(cpu).open()
        if ready:
            assert (yield from raw.status(v.QUERY_PROTOCOL_VERSION.pack(version=v.V1_4))) == 0
        statuses = []
        for message in messages:
            statuses.append((yield from raw.status(message)))
        return statuses, raw
    return rig.run(program)


D0 = v.BUS_D0ENTRY.pack(window=MMIO)
ASSIGNED = v.RESOURCES_ASSIGNED2.pack()
CREATE = {"vector": 0x50, "count": 1, "processors": 1}


@pytest.mark.parametrize("messages, statuses", [
    ([D0, ASSIGNED, D0], [0, 0, v.INVALID_DEVICE_STATE]),
    ([ASSIGNED], [v.INVALID_DEVICE_STATE]),
    ([v.BUS_D0ENTRY.pack(window=0x1000)], [v.INVALID_PARAMETER]),              # over RAM
    ([v.BUS_D0ENTRY.pack(window=MMIO + 8)], [v.INVALID_PARAMETER]),
    ([v.BUS_D0ENTRY.pack(window=(1 << 64) - 4096)], [v.INVALID_PARAMETER]),
    ([v.BUS_D0ENTRY.pack(window=(1 << 48) - 4096)], [v.INVALID_PARAMETER]),
    ([D0, v.BUS_D0EXIT.pack(), D0], [0, 0, 0]),
    ([v.QUERY_RESOURCE_REQUIREMENTS.pack(slot=1)], [v.NO_SUCH_DEVICE]),
    ([v.POWER_STATE_CHANGE.pack(state=4), v.POWER_STATE_CHANGE.pack(state=9)], [0, v.INVALID_PARAMETER]),
    ([v.RESOURCES_RELEASED.pack(), v.RESET_DEVICE.pack()], [0, 0]),
    ([v.EJECTION_COMPLETE.pack()], [v.INVALID_DEVICE_STATE]),
    ([v.EJECT.pack(), v.BUS_RELATIONS.pack(), b"", b"\1", bytes(64), struct.pack("<I", BASE + 2)],
     [v.INVALID_DEVICE_REQUEST] * 6),
    ([v.BUS_D0ENTRY.pack()[:8], v.CREATE_INTERRUPT3.pack()[:40]], [v.INVALID_PARAMETER] * 2),
    ([v.CREATE_INTERRUPT3.pack(**CREATE)], [0]),
    ([v.CREATE_INTERRUPT2.pack(**CREATE)], [0]),
    ([v.CREATE_INTERRUPT.pack(vector=0x50, count=1, processor_mask=1)], [0]),
    ([v.CREATE_INTERRUPT.pack(vector=0x50, count=1, processor_mask=m) for m in (0, 2, 3, 1 << 63)],
     [v.INVALID_PARAMETER] * 4),
    ([v.CREATE_INTERRUPT3.pack(**{**CREATE, **wrong}) for wrong in (
        {"vector": 15}, {"vector": 256}, {"count": 0}, {"count": 33}, {"mode": 2}, {"processors": 0}, {"processors": 33},
        {"processors": 2}, {"processor_array": b"\1"}, {"processor_array": b"\xFF\xFF"})],
     [0xC000000D] * 7 + [0] + [0xC000000D] * 2),
    ([v.DELETE_INTERRUPT.pack(address=0xFEE0_0018, data=0)], [v.INVALID_PARAMETER])])
def test_statuses(messages, statuses):
    rig = Rig()
    lent = rig.assign()
    assert talk(rig, *messages)[0] == statuses
    assert lent.vsp.channel.error is None


def test_nothing_before_the_version():
    rig = Rig()
    rig.assign()
    version = v.QUERY_PROTOCOL_VERSION.pack(version=0x10005)
    assert talk(rig, D0, v.QUERY_BUS_RELATIONS.pack(), version, D0, ready=False)[0] == [
        v.INVALID_DEVICE_STATE, v.INVALID_DEVICE_STATE, v.REVISION_MISMATCH, v.INVALID_DEVICE_STATE]


def test_bus_relations_come_as_a_message_of_the_versions_form():
    for version, size in ((v.V1_2, 8 + 20), (v.V1_3, 8 + 28)):
        rig = Rig()
        rig.assign()
        _, raw = talk(rig, v.QUERY_PROTOCOL_VERSION.pack(version=version), v.QUERY_BUS_RELATIONS.pack(), ready=False)
        message, = raw.messages
        assert len(message) == -(-size // 8) * 8
        record = v.LAYOUTS[int.from_bytes(message[:4], "little")].parse(message)
        function, = v.functions(record)
        assert function.vendor == 0x1B36 and function.slot == 0 and function.serial == rig.function.requester


def test_as_many_interrupts_as_the_function_has_vectors():
    rig = Rig()
    rig.assign()
    create, most = v.CREATE_INTERRUPT3.pack(**CREATE), rig.function.device.vectors

    def program(cpu):
        raw = yield from Raw(cpu).open()
        yield from raw.ask(v.QUERY_PROTOCOL_VERSION.pack(version=v.V1_4))
        replies = []
        for _ in range(most + 2):
            replies.append(v.INTERRUPT_REPLY.parse((yield from raw.ask(create))))
        gone = yield from raw.status(v.DELETE_INTERRUPT.pack(address=replies[3].address, data=replies[3].data))
        again = yield from raw.status(v.DELETE_INTERRUPT.pack(address=replies[3].address, data=replies[3].data))
        fresh = v.INTERRUPT_REPLY.parse((yield from raw.ask(create)))
        return replies, gone, again, fresh
    replies, gone, again, fresh = rig.run(program)
    assert [reply.status for reply in replies] == [0] * most + [v.INSUFFICIENT_RESOURCES] * 2
    assert len({reply.address for reply in replies[:most]}) == most
    assert (gone, again) == (0, v.INVALID_PARAMETER) and fresh.address == replies[3].address


@pytest.mark.parametrize("interrupts", ("injected", "posted"))
@pytest.mark.parametrize("count", (1, 4, 32))
def test_several_messages_at_once(interrupts, count):
    """CREATE_INTERRUPT3 for a device with MSI: `count` vectors in a row, and messages whose data counts up."""
    rig = Rig(vcpus=2)
    lent, other = rig.assign(interrupts=interrupts), rig.router.create(0x99, rig.guests[1].cpu, 0x80)
    create = v.CREATE_INTERRUPT3.pack(vector=0x20, count=count, processors=1)

    def program(cpu):
        raw = yield from Raw(cpu).open()
        yield from raw.ask(v.QUERY_PROTOCOL_VERSION.pack(version=v.V1_4))
        first = v.INTERRUPT_REPLY.parse((yield from raw.ask(create)))
        second = v.INTERRUPT_REPLY.parse((yield from raw.ask(create)))
        assert (first.status, first.count, first.data, second.status, second.count) == (0, count, 0, 0, count)
        assert second.address - first.address == 32 * count
        space, seen = rig.iommu.space(rig.function.requester), []
        cpu.cli()                              # look at what is requested, and take none
        for n in range(count):
            space.message(first.address, first.data + n)
            seen.append(cpu.apic.acknowledge(auto_eoi=True))
        assert seen == list(range(0x20, 0x20 + count)) and cpu.apic.irr == 0
        assert lent.retarget_interrupt(first.address, count - 1, rig.guests[0].vcpus[1], 0x77)
        assert not lent.retarget_interrupt(first.address, count, rig.guests[0].vcpus[1], 0x77)
        space.message(first.address, count - 1)
        assert rig.guests[0].vcpus[1].apic.irr == 1 << 0x77 and cpu.apic.irr == 0
        cpu.sti()
        owned = len(rig.router.owners)
        if count > 1:
            assert (yield from raw.status(v.DELETE_INTERRUPT.pack(address=first.address, data=1))) == v.INVALID_PARAMETER
        assert (yield from raw.status(v.DELETE_INTERRUPT.pack(address=first.address, data=0))) == 0
        assert owned - len(rig.router.owners) == count
        assert (yield from raw.status(v.DELETE_INTERRUPT.pack(address=first.address, data=0))) == v.INVALID_PARAMETER
        third = v.INTERRUPT_REPLY.parse((yield from raw.ask(create)))
        full = v.INTERRUPT_REPLY.parse((yield from raw.ask(v.CREATE_INTERRUPT3.pack(vector=0xE0, count=32, processors=1))))
        late = v.INTERRUPT_REPLY.parse((yield from raw.ask(v.CREATE_INTERRUPT3.pack(vector=0xE1, count=32, processors=1))))
        return third.address - first.address, full.status, late.status
    vectors = rig.function.device.vectors
    assert rig.run(program) == (0, 0 if 2 * count + 32 <= vectors else v.INSUFFICIENT_RESOURCES, v.INVALID_PARAMETER)
    assert rig.router.owners[other[0] >> 5 & 0x7FFF] == 0x99
    lent.take_back()
    router = rig.router
    assert set(router.owners.values()) == {0x99}
    assert list(router._messages) == list(router._blocks) == list(router._guests) == list(router.owners)
    assert len(router._handlers) == len(router._places) == 1


def test_a_bar_over_ram_or_another_device_answers_nowhere():
    rig = Rig()
    lent = rig.assign()

    def program(cpu):
        bus = yield from bus_of(cpu)
        function, answers = bus.functions[0], []
        cpu.write(0x10000, b"\xA5" * 16)
        for base in (0x10000, bus.window & -0x4000, 1 << 52, MMIO + (1 << 23), 0):
            function.write(0x04, 2, 0)
            function.write(0x10, 4, base & 0xFFFF_FFFF)
            function.write(0x14, 4, base >> 32)
            function.write(0x04, 2, 6)
            answers.append(len(rig.guests[0].direct.regions))
        return answers, cpu.read(0x10000, 16)
    answers, ram = rig.run(program)
    assert answers == [0, 0, 0, 1, 0] and ram == b"\xA5" * 16 and lent.over is False


def test_a_channel_that_does_not_read_stops_only_itself():
    """Hundreds of questions whose answers find no room: they wait, and come when the guest reads."""
    rig = Rig()
    rig.assign()

    def program(cpu):
        raw = yield from Raw(cpu).open()
        yield from raw.ask(v.QUERY_PROTOCOL_VERSION.pack(version=v.V1_4))
        look, raw.channel.on_signal = raw.channel.on_signal, None
        sent = 400
        for _ in range(sent):
            raw.channel.end.send(v.QUERY_BUS_RELATIONS.pack())
            yield from cpu.hlt(100_000)
        stuck = len(raw.messages)
        raw.channel.on_signal = look
        look(cpu)
        while (yield from cpu.hlt(10**7)):
            pass
        return sent, stuck, len(raw.messages)
    sent, stuck, got = rig.run(program)
    assert stuck == 0 and got == sent


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


def test_messages_of_a_wrong_kind_are_counted():
    rig = Rig()
    rig.assign()
    bus = rig.run(bus_of)
    packet = type("Packet", (), {"kind": INBAND, "payload": bytes(8), "transaction_id": 0})
    bus._take(packet)
    packet.kind = COMPLETION
    bus._take(packet)
    assert bus.unknown == 2
