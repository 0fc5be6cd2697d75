"""A disk whose medium fails while it is read, a file that somebody has cut: an error of the disk, for the guest alone."""

import os

import pytest

from tests.nvme_rig import COMPARE, READ, Bench
from vmio.devices.ata.taskfile import UNC
from vmio.experiments.disk import pattern
from vmio.machine.overlay import Overlay
from vmio.machine.storage import Image
from vmio.modes import attachment, one_guest

DATA = 0x100_0000
BAD = 100


class Failing(Overlay):
    """Its sectors from `BAD` on have gone."""

    def __init__(self, base, error=OSError(5, "Input/output error")):
        super().__init__(base)
        self.error = error

    def read(self, lba, count=1):
        if lba + count > BAD:
            raise self.error
        return super().read(lba, count)


def program(cpu, disk):
    answers = []
    for lba in (0, BAD, 8):
        disk.submit("read", lba, 4, DATA, lba)
        disk.flush_ring()
        done = []
        while not done:
            yield from disk.wait()
            done = disk.reap()
        answers += [(tag, error is None) for tag, error in done]
    return answers


EACH = pytest.mark.parametrize("device, mode, options", [
    ("disk", "emulated", {"transfer": "pio"}), ("disk", "emulated", {"transfer": "multiple"}), ("disk", "emulated", {"transfer": "dma"}),
    ("disk", "split", {}), ("disk", "passthrough", {}), ("nvme", "emulated", {}), ("nvme", "passthrough", {})])


@EACH
def test_one_read_fails_and_the_next_is_fine(device, mode, options):
    guest = one_guest(attachment(device, mode, **options), Failing(pattern(1)), ram_mib=20)
    assert guest.run(program) == [(0, True), (BAD, False), (8, True)]


@EACH
def test_a_file_that_is_cut_while_the_guest_runs(device, mode, options, tmp_path):
    file = tmp_path / "disk.img"
    file.write_bytes(bytes(1 << 20))
    guest = one_guest(attachment(device, mode, **options), Image.open(file), ram_mib=20)
    os.truncate(file, 512 * BAD)
    assert guest.run(program) == [(0, True), (BAD, False), (8, True)]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("the file is cut short")])
def test_nvme_calls_it_an_unrecovered_read_error(error):
    """NVMe 1.4, 4.6.1.2.3; COMPARE reads, too."""
    bench = Bench()
    bench.io_queue()
    bench.chip.nvm.image = Failing(bench.image, error)
    assert [bench.io(opcode, BAD, 2) for opcode in (READ, COMPARE, READ)] == [0x281] * 3
    assert bench.io(READ, 0, 2) == 0


@pytest.mark.parametrize("transfer", ["pio", "dma"])
def test_the_ata_disk_calls_it_uncorrectable(transfer):
    guest = one_guest(attachment("disk", "emulated", transfer=transfer), Failing(pattern(1)), ram_mib=20)

    def fail(cpu, disk):
        disk.submit("read", BAD, 1, DATA, "x")
        disk.flush_ring()
        yield from disk.wait()
        (_, error), = disk.reap()
        return str(error), guest.board.ata[0].selected.error
    said, register = guest.run(fail)
    assert register == UNC and f"error {UNC:#x}" in said
