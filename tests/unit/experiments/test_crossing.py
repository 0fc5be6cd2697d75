"""The lesson's view of one read: the bytes it shows are those that the drivers packed."""

import pytest

from vmio.experiments import disk
from vmio.experiments.crossing import NVME_READ, cross
from vmio.hardware.nvme.wire import COMPLETION, CQE, SQE_RW
from vmio.vmbus.bus.packets import DESCRIPTOR
from vmio.vmbus.storage import vstor


def test_the_drawn_layouts_are_the_packed_ones():
    packed = SQE_RW.pack(2, 0, 7, 1, 0x1000, 0x2000, 99, 15)
    shown = NVME_READ.parse(packed)
    assert (shown.opcode, shown.command_id, shown.namespace, shown.prp1, shown.prp2, shown.lba, shown.count) == (
        2, 7, 1, 0x1000, 0x2000, 99, 15)
    shown = COMPLETION.parse(CQE.pack(5, 0, 3, 1, 7, 1))
    assert (shown.result, shown.sq_head, shown.sq_id, shown.command_id, shown.status) == (5, 3, 1, 7, 1)
    assert NVME_READ.size == SQE_RW.size and COMPLETION.size == CQE.size


def test_one_read_crosses_in_order_and_costs_three_exits():
    image = disk.pattern(1)
    crossing = cross(lba=40, sectors=8, image=image)
    assert [step.who for step in crossing.steps] == ["guest", "guest", "host", "host", "device", "host", "guest", "guest"]
    assert [step.ns for step in crossing.steps] == sorted(step.ns for step in crossing.steps)
    assert crossing.exits == {"VMCALL": 1, "HLT": 1}
    assert crossing.data == image.read(40, 8)
    structures = [(layout.name, layout.parse(data)) for step in crossing.steps for layout, data in step.structures]
    named = {}
    for name, record in structures:
        named.setdefault(name, []).append(record)
    request, answer = named["DESCRIPTOR"]
    assert request.transaction_id == answer.transaction_id
    assert named["VSTOR_SRB"][0].operation == vstor.EXECUTE_SRB and named["VSTOR_SRB"][1].operation == vstor.COMPLETE_IO
    assert named["CDB_READ10"][0].lba == named["NVME_READ"][0].lba == 40
    assert named["NVME_READ"][0].count == 7 and named["NVME_COMPLETION"][0].status == 1
    assert DESCRIPTOR.name in crossing.steps[0].draw()


def test_large_reads_have_many_pages():
    crossing = cross(sectors=64, image=disk.pattern(1))
    ranges = [data for step in crossing.steps for layout, data in step.structures if layout.name == "GPA_RANGE"]
    assert len(ranges) == 1 and len(ranges[0]) == 8 + 8 * 8


@pytest.mark.parametrize("sectors", [0, 257])
def test_parameters_are_checked(sectors):
    with pytest.raises(ValueError, match=str(sectors)):
        cross(sectors=sectors, image=disk.pattern(1))
