"""A function of the host's: messages are counted, refused ones too; a guest ejects it once."""

from types import SimpleNamespace

from tests.passthrough_rig import BUFFER, Rig, bus_of, disk_of, one
from vmio.vmbus.pci import vpci as v


def test_messages_are_counted_one_by_one():
    rig = Rig()
    rig.assign()
    counts = []

    def program(cpu):
        disk = yield from disk_of(cpu, (yield from bus_of(cpu)))
        for n in range(3):
            counts.append((rig.function.pci.messages, rig.function.pci.blocked))
            yield from one(disk, "read", 8 * n, 8, BUFFER)
        counts.append((rig.function.pci.messages, rig.function.pci.blocked))
    rig.run(program)
    first = counts[0][0]
    assert counts == [(first + n, 0) for n in range(4)]
    rig.function.pci.write(4, 2, 2)                   # no bus master: its messages are DMA, too
    rig.disk.controller.msix.notify(1)
    assert (rig.function.pci.messages, rig.function.pci.blocked) == (first + 4, 1)


def test_an_ejection_is_over_once():
    rig = Rig()
    vsp, told = rig.assign().vsp, []
    vsp.on_ejected = told.append
    record = SimpleNamespace(status=0x1234)
    assert vsp._ejected(record) == v.INVALID_DEVICE_STATE and told == []
    vsp.ejecting = True
    assert vsp._ejected(record) == v.SUCCESS and told == [0x1234]
    assert vsp._ejected(record) == v.INVALID_DEVICE_STATE and told == [0x1234]
