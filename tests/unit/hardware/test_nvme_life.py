"""An NVMe controller's life: CC written again, what a checkpoint must hold."""

import json

import pytest

from tests.nvme_rig import DISK, READ, WRITE, Bench, board_with_nvme
from vmio.hardware.nvme.controller import NvmeController
from vmio.machine.clock import Clock

CC, CSTS, ENABLED = 0x14, 0x1C, 0x460001
NORMAL = 1 << 14                                      # CC.SHN: normal shutdown


@pytest.fixture
def bench():
    bench = Bench()
    bench.io_queue()
    return bench


def test_a_second_store_of_cc_enables_nothing_anew(bench):
    """Enable is an edge (NVMe 1.4, 3.1.5): queues keep their places, and the controller stays ready."""
    assert bench.io(READ, 1, 1) == 0
    queues = [bench.chip.sqs[0], bench.chip.sqs[1], bench.chip.cqs[0], bench.chip.cqs[1]]
    bench.chip.write(CC, 4, ENABLED)
    assert bench.chip.read(CSTS, 4) == 1 and bench.chip.read(CC, 4) == ENABLED
    assert [bench.chip.sqs[0], bench.chip.sqs[1], bench.chip.cqs[0], bench.chip.cqs[1]] == queues
    assert bench.io(READ, 2, 1) == 0 and bench.memory.read(bench.BUFFER, 512) == DISK[1024:1536]
    bench.chip.write(0x24, 4, 0)                      # registers of the admin queues count at the next enabling
    bench.chip.write(CC, 4, ENABLED)
    assert bench.chip.read(CSTS, 4) == 1 and bench.io(READ, 3, 1) == 0


def test_a_failed_enable_is_not_tried_again_until_it_was_disabled():
    bench = Bench()
    bench.chip.reset()
    assert bench.enable(0x450001) == 2                # completion entries of 32 bytes: refused
    bench.chip.write(CC, 4, ENABLED)
    assert bench.chip.read(CSTS, 4) == 2
    bench.chip.write(CC, 4, 0)
    assert bench.chip.read(CSTS, 4) == 0
    assert bench.enable() == 1


def test_a_shutdown_is_an_edge_too(bench):
    flushes = []
    bench.chip.image = type("Medium", (), {"flush": lambda self: flushes.append(1)})()
    for cc, csts in ((ENABLED | NORMAL, 9), (ENABLED | NORMAL, 9), (ENABLED | 2 * NORMAL, 9), (ENABLED, 1),
                     (ENABLED | NORMAL, 9), (0, 0)):
        bench.chip.write(CC, 4, cc)
        assert bench.chip.read(CSTS, 4) == csts
    assert flushes == [1, 1]


def test_cc_keeps_what_is_written_while_disabled(bench):
    """Drivers set the entry sizes first and EN later; only the step from 1 to 0 clears the register."""
    bench.chip.write(CC, 4, 0x460000)
    assert bench.chip.read(CC, 4) == 0 and bench.chip.read(CSTS, 4) == 0
    bench.chip.write(CC, 4, 0x460000)
    assert bench.chip.read(CC, 4) == 0x460000
    bench.chip.write(CC, 4, 0x460000 | NORMAL)
    assert (bench.chip.read(CC, 4), bench.chip.read(CSTS, 4)) == (0x460000 | NORMAL, 8)
    bench.chip.write(CC, 4, 0x460000 | 2 * NORMAL)
    assert (bench.chip.read(CC, 4), bench.chip.read(CSTS, 4)) == (0x460000 | 2 * NORMAL, 8)


def test_disabling_twice_forgets_once(bench):
    for _ in range(2):
        bench.chip.write(CC, 4, 0)
        assert (bench.chip.read(CC, 4), bench.chip.read(CSTS, 4), bench.chip.sqs, bench.chip.cqs) == (0, 0, {}, {})
    assert bench.enable() == 1
    bench.io_queue()
    assert bench.io(WRITE, 9, 1) == 0


def test_a_checkpoint_brings_back_the_messages_of_msix():
    guest, controller = board_with_nvme()
    function = controller.drive_intx.__self__
    function.write(0x10, 4, 0xE000_0000)
    function.write(0x04, 2, 6)
    function.write(0x42, 2, 0x8000)
    for vector in (0, 1, 64):
        guest.mmio.write(0xE000_2000 + 16 * vector, 4, 0xFEE0_0000 | vector << 12)
        guest.mmio.write(0xE000_2008 + 16 * vector, 4, 0x40 + vector)
        guest.mmio.write(0xE000_200C + 16 * vector, 4, 0)
    controller.msix.notify(2)
    state = json.loads(json.dumps(controller.save()))
    twin = NvmeController(Clock(), guest.memory, controller.image)
    twin.restore(state)
    assert [twin.msix.message(vector) for vector in (0, 1, 64)] == [
        (0xFEE0_0000, 0x40), (0xFEE0_1000, 0x41), (0xFEE4_0000, 0x80)]
    assert [twin.read(0x200C + 16 * vector, 4) for vector in (0, 1, 2, 63, 64)] == [0, 0, 1, 1, 0]
    assert twin.read(0x3000, 8) == 4 and twin.msix.enabled
    assert twin.save() == controller.save()
