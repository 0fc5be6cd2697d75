"""Discards of a trace, end to end: TRIM by DMA, UNMAP, Dataset Management; where none is announced, none is sent."""

import hashlib
import json

import pytest

from vmio.__main__ import main
from vmio.experiments import disk
from vmio.experiments.disk import DiskParams
from vmio.experiments.trace import Request
from vmio.machine.storage import Image

SECTORS = 1 << 18
REQUESTS = [Request("W", 100, 64), Request("D", 110, 8), Request("R", 96, 80), Request("D", 0, SECTORS), Request("R", 90, 64),
            Request("W", 5, 8), Request("D", 5, 1), Request("D", 12, 1), Request("F", 0, 0), Request("R", 0, 16)]
MODES = [dict(transfer="dma"), dict(transfer="dma", polled=True), dict(mode="split"), dict(mode="split", queue_depth=8, guests=2),
         dict(mode="passthrough", queue_depth=8), dict(mode="passthrough", iommu="strict"), dict(mode="passthrough", guests=2)]


def expected():
    """What a plain array says: bytes read, and the content at the end."""
    content, read = bytearray(bytes(range(256)) * (2 * SECTORS)), b""
    for row, (op, lba, sectors) in enumerate(REQUESTS):
        part = slice(lba * 512, (lba + sectors) * 512)
        if op == "R":
            read += content[part]
        elif op != "F":
            content[part] = row.to_bytes(8, "little") * 64 * sectors if op == "W" else bytes(512 * sectors)
    return read, content


@pytest.mark.parametrize("params", MODES, ids=str)
def test_what_was_discarded_reads_as_zeros(params):
    read, content = expected()
    result = disk.run(DiskParams(**params), REQUESTS, Image.open(bytes(bytes(range(256)) * (2 * SECTORS))))
    guests = params.get("guests", 1)
    digest = hashlib.sha256(read)
    assert result.sha256 == (digest if guests == 1 else hashlib.sha256(digest.digest() * guests)).hexdigest()
    assert result.images[0].read(0, 2048) == content[:2048 * 512] and not any(result.images[0].read(SECTORS - 64, 64))
    assert result.requests == guests * len(REQUESTS) and result.not_issued == 0
    assert result.bytes == guests * 512 * sum(r.sectors for r in REQUESTS if r.op in "RW")


def test_a_disk_that_announces_no_discard_is_not_asked_and_the_table_says_so(tmp_path, capsys):
    """TRIM is a DMA command: a driver that moves data by PIO has none."""
    path = tmp_path / "t.csv"
    path.write_text("time_us,op,lba,sectors\n0,R,0,8\n1,D,8,8\n2,R,8,8\n")
    assert main(["run", "--trace", str(path)]) == 0
    assert "1 discards were not issued: this disk announces no such command" in capsys.readouterr().out
    assert main(["run", "--trace", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["requests"], result["not_issued"]) == (2, 1)
    assert main(["run", "--dma", "--trace", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["requests"], result["not_issued"]) == (3, 0)


def test_a_discard_needs_no_memory_of_its_size():
    result = disk.run(DiskParams(mode="passthrough"), [Request("D", 0, (1 << 32) - 1), Request("R", 0, 8)])
    assert result.bytes == 4096 and result.sha256 == hashlib.sha256(bytes(4096)).hexdigest()
