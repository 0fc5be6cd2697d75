"""What a PCI function is put together from: register files, the capability list, MSI, SR-IOV."""

import json

import pytest

from vmio.devices.pci.bar import Bar
from vmio.devices.pci.capabilities import Capability
from vmio.devices.pci.express import Express
from vmio.devices.pci.function import Identity, PciFunction
from vmio.devices.pci.msi import Msi
from vmio.devices.pci.msix import Msix, MsixCapability
from vmio.devices.pci.power import PowerManagement
from vmio.devices.pci.registers import RegisterFile
from vmio.devices.pci.sriov import Sriov
from vmio.machine.bus import BadAccess

WHO = Identity(0x8086, 0x10C9, 0x020000, 1, (0x8086, 0xA03C))


class Sent:
    """Memory that notes what is stored."""

    def __init__(self):
        self.stores = []

    def write(self, address, data):
        self.stores.append((address, int.from_bytes(data, "little")))


class Extended(Capability):
    extended = True


def listed(function, at=0x34, extended=False):
    """The offsets and ids of a capability list, as software walks it."""
    found = []
    at = 0x100 if extended else function.read(at, 1)
    while at:
        found.append((at, function.read(at, 2 if extended else 1)))
        at = function.read(at, 4) >> 20 if extended else function.read(at + 1, 1)
    return found


def test_a_register_files_bits():
    file = RegisterFile(4, [(0, 2, 0x1234)], [(0, 1, 0x0F)], [(1, 1, 0x30)])
    file.write(0, 4, 0xFFFF_FF00 | 0x21)
    assert file.read(0, 4) == 0x0231 and file.read(3, 4) == 0
    twin = RegisterFile(4)
    twin.restore(file.save())
    file.reset()
    assert (twin.read(0, 2), file.read(0, 2)) == (0x0231, 0x1234)


def test_a_list_in_the_order_given_in_places_that_are_free():
    msix = MsixCapability(Msix(5, lambda vector: None), (3, 0), (3, 0x2000))
    function = PciFunction(WHO, capabilities=[Express(at=0x80), msix, PowerManagement(at=0x44), Msi()])
    assert listed(function) == [(0x80, 0x10), (0x4C, 0x11), (0x44, 0x01), (0x58, 0x05)]
    assert function.read(6, 2) == 0x10 and function.read(0x4E, 2) == 4 and function.read(0x54, 4) == 0x2003
    assert PciFunction(WHO).read(6, 2) == PciFunction(WHO).read(0x34, 1) == 0


@pytest.mark.parametrize("places", [(0x42,), (0x3C,), (0xFC,), (0x40, 0x44), (0x48, 0x44)])
def test_a_place_that_is_none(places):
    with pytest.raises(ValueError, match="capability 0x1 of 8 bytes at .* a free place between 0x40 and 0x100"):
        PciFunction(WHO, capabilities=[PowerManagement(at=at) for at in places])


def test_full_is_full():
    function = PciFunction(WHO, capabilities=[PowerManagement() for _ in range(24)])
    assert len(listed(function)) == 24
    with pytest.raises(ValueError, match="a free place"):
        PciFunction(WHO, capabilities=[PowerManagement() for _ in range(25)])


def test_the_extended_list_starts_at_100h():
    function = PciFunction(WHO, capabilities=[Express(), Extended(0x01, 0x48, version=2), Extended(0x03, 12, at=0x200)])
    assert listed(function, extended=True) == [(0x100, 1), (0x200, 3)] and function.read(0x102, 1) & 15 == 2
    with pytest.raises(ValueError, match="0x3 at 0x200: the list starts at 0x100"):
        PciFunction(WHO, capabilities=[Extended(0x03, 12, at=0x200)])
    with pytest.raises(BadAccess):
        function.read(0x20C, 1)
    with pytest.raises(BadAccess):
        function.write(-1, 1, 0)


def test_an_access_may_cross_parts():
    function = PciFunction(WHO, capabilities=[Msi()])       # 40h to 4Dh; 4Eh and 4Fh are the function's own
    function.write(0x4C, 4, 0xAABB_CCDD)
    assert function.read(0x4C, 4) == 0xAABB_CCDD and function.read(0x4E, 2) == 0xAABB
    assert function.config[0x4C:0x50] == bytes.fromhex("ddccbbaa") and function.read(0xFE, 4) == 0
    function.reset()
    assert function.read(0x4C, 4) == 0


@pytest.mark.parametrize("bars, index", [({5: Bar(16, wide=True)}, 5), ({-1: Bar(16)}, -1), ({6: Bar(16)}, 6),
                                         ({0: Bar(16, wide=True), 1: Bar(16)}, 1)])
def test_a_bar_without_a_register(bars, index):
    with pytest.raises(ValueError, match=f"BAR index is {index};"):
        PciFunction(WHO, bars)


def msi_of(*arguments, master=True, **options):
    msi, memory = Msi(*arguments, **options), Sent()
    function = PciFunction(WHO, capabilities=[msi])
    function.reach(memory)
    function.write(4, 2, 4 * master)
    return msi, function, memory


@pytest.mark.parametrize("options, length, control, data, mask", [
    ({}, 14, 0x0080, 12, None), ({"wide": False}, 10, 0, 8, None), ({"maskable": True}, 24, 0x0180, 12, 16),
    ({"wide": False, "maskable": True}, 20, 0x0100, 8, 12), ({"vectors": 32}, 14, 0x008A, 12, None)])
def test_msis_structure(options, length, control, data, mask):
    """PCI 3.0, figure 6-9."""
    msi, function, memory = msi_of(**options)
    assert msi.length == length and function.read(0x42, 2) == control
    function.write(0x44, 4, 0xFEE0_0003)
    function.write(0x48, 4, 1)
    function.write(0x40 + data, 2, 0x4041)
    function.write(0x42, 2, 1)
    msi.notify()
    assert memory.stores == [(0xFEE0_0000 + (options.get("wide", True) << 32), 0x4041)]
    if mask:
        function.write(0x40 + mask, 4, 0xFFFF_FFFF)
        assert function.read(0x40 + mask, 4) == 1
        function.write(0x40 + mask + 4, 4, 1)
        assert function.read(0x40 + mask + 4, 4) == 0       # pending bits are the device's


def test_msi_vectors_differ_in_the_low_bits():
    msi, function, memory = msi_of(8)
    function.write(0x44, 4, 0xFEE0_0000)
    function.write(0x4C, 2, 0x47)
    function.write(0x42, 2, 0x71)                    # 128 asked for, there are 8
    assert function.read(0x42, 2) == 0x00B7
    for vector in (0, 5, 7):
        msi.notify(vector)
    function.write(0x42, 2, 0x11)                    # granted 2: they share
    msi.notify(5)
    function.write(0x42, 2, 0)
    msi.notify(5)
    assert [data for _, data in memory.stores] == [0x40, 0x45, 0x47, 0x47] and msi.vectors == function.vectors == 8
    for vectors in (0, 3, 64):
        with pytest.raises(ValueError, match=f"MSI vectors {vectors}"):
            Msi(vectors)


def test_a_masked_msi_waits_and_a_checkpoint_knows():
    msi, function, memory = msi_of(4, maskable=True)
    function.write(0x44, 4, 0xFEE0_0000)
    function.write(0x42, 2, 0x21)
    function.write(0x50, 4, 0b0110)
    for vector in (1, 2, 3):
        msi.notify(vector)
    assert [data for _, data in memory.stores] == [3] and function.read(0x54, 4) == 0b0110
    twin, twins, theirs = msi_of(4, maskable=True)
    twins.restore(json.loads(json.dumps(function.save())))
    assert theirs.stores == [] and twins.save() == function.save()
    twins.write(0x50, 4, 0b0100)
    assert [data for _, data in theirs.stores] == [1] and twins.read(0x54, 4) == 0b0100
    function.write(0x42, 2, 0)
    function.write(0x50, 4, 0)                       # off: nothing leaves
    assert len(memory.stores) == 1


def test_a_message_needs_bus_mastering():
    msi, function, memory = msi_of(master=False)
    function.write(0x42, 2, 1)
    msi.notify()
    assert memory.stores == [] and (function.messages, function.blocked) == (1, 1)


def card(total=4, made=None):
    """A network card that can make `total` virtual ones, with two BARs each."""
    bars = {0: Bar(0x4000, wide=True), 3: Bar(0x1000)}

    def make(count):
        if count == 3:
            raise ValueError("three is impossible")
        return [PciFunction(WHO, bars) for _ in range(count)]
    sriov = Sriov(make, total, 0x10CA, bars, offset=0x180, stride=2)
    return PciFunction(WHO, {0: Bar(0x2000)}, [sriov]), sriov


def test_sriov_is_any_functions():
    function, sriov = card()
    assert function.read(0x100, 4) == 0x0001_0010 and function.read(0x10C, 4) == 0x0004_0004
    assert function.read(0x114, 4) == 0x0002_0180 and function.read(0x11A, 2) == 0x10CA
    assert [sriov.requester(number, 0x0100) for number in range(3)] == [0x280, 0x282, 0x284]
    for at in (0x124, 0x128, 0x130, 0x134):
        function.write(at, 4, 0xFFFF_FFFF)
    assert [function.read(at, 4) for at in (0x124, 0x128, 0x130, 0x134)] == [0xFFFF_C004, 0xFFFF_FFFF, 0xFFFF_F000, 0]
    function.write(0x110, 2, 9)
    assert function.read(0x110, 2) == 4              # not more than there can be
    function.write(0x110, 2, 3)
    with pytest.raises(ValueError, match="three is impossible"):
        function.write(0x108, 2, 1)
    assert function.read(0x108, 2) == 0 and sriov.functions == []
    function.write(0x110, 2, 0)
    function.write(0x108, 2, 1)
    assert sriov.functions == [] and sriov.enabled


def test_vfs_answer_one_behind_the_other():
    function, sriov = card()
    function.write(0x110, 2, 2)
    function.write(0x124, 4, 0x8000_0000), function.write(0x128, 4, 1), function.write(0x130, 4, 0xE000_0000)
    function.write(0x108, 2, 1)
    first, second = sriov.functions
    assert second.mapped == {0: None, 3: None}       # VF memory space is not enabled
    second.write(0x10, 4, 0xD000_0000), second.write(4, 2, 2)
    assert second.mapped == {0: None, 3: None}       # a VF's own registers don't place it
    function.write(0x108, 2, 9)
    assert first.mapped == {0: 0x1_8000_0000, 3: 0xE000_0000} and second.mapped == {0: 0x1_8000_4000, 3: 0xE000_1000}
    function.write(0x110, 2, 1)
    assert sriov.functions == [first, second]        # fixed while they are enabled
    moves = []
    second.on_bar = lambda index, base: moves.append((index, base))
    function.write(0x130, 4, 0xE800_0000)
    assert moves == [(3, None), (3, 0xE800_1000)]
    state = json.loads(json.dumps(function.save()))
    function.write(0x108, 2, 0)
    assert moves[2:] == [(0, None), (3, None)] and sriov.functions == []
    twin, twins = card()
    twin.restore(state)
    assert [each.mapped for each in twins.functions] == [
        {0: 0x1_8000_0000, 3: 0xE800_0000}, {0: 0x1_8000_4000, 3: 0xE800_1000}]
    assert twin.save() == state and twins.functions[1].read(0x10, 4) == 0xD000_0004
    twin.reset()
    assert twins.functions == [] and twin.read(0x108, 2) == twin.read(0x110, 2) == 0
