"""The host's half of vPCI, asked anything in any order: statuses, refusals, and a channel that stops only itself."""

import struct

import pytest

from tests.passthrough_rig import MMIO, Rig, bus_of
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.vmbus.bus.packets import COMPLETION, INBAND
from vmio.vmbus.pci import vpci as v

BASE = 0x42490000


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
    assert answers == [0, 0, 0, 1, 0] and ram == b"\xA5" * 16 and lent.ended is False


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


def test_messages_of_a_wrong_kind_are_counted():
    rig = Rig()
    rig.assign()
    bus = rig.run(bus_of)
    packet = type("Packet", (), {"kind": INBAND, "payload": bytes(8), "transaction_id": 0})
    bus._take(packet)
    packet.kind = COMPLETION
    bus._take(packet)
    assert bus.unknown == 2
