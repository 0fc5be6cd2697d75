"""Real traces through the emulated disk: bytes, writes, flushes; and every way to get the input wrong."""

import gzip
import hashlib
import json

import pytest

from vmio import data
from vmio.__main__ import main
from vmio.experiments import disk, trace
from vmio.experiments.disk import DiskParams
from vmio.machine.overlay import Overlay
from vmio.machine.storage import Image

TRACES = sorted(data.path("traces").glob("*.csv"))


def expected(requests, image):
    """What a plain bytearray says: digest of the reads in order, and the content at the end."""
    content = bytearray(image.read(0, image.sectors))
    digest = hashlib.sha256()
    for row, (op, lba, sectors) in enumerate(requests):
        if op == "R":
            digest.update(content[lba * 512:(lba + sectors) * 512])
        elif op == "W":
            content[lba * 512:(lba + sectors) * 512] = row.to_bytes(8, "little") * 64 * sectors
    return digest.hexdigest(), content


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
@pytest.mark.parametrize("transfer", ["multiple", "dma"])
def test_each_trace_reads_and_writes_what_a_plain_array_would(path, transfer, image):
    requests = trace.load(path)
    digest, content = expected(requests, image)
    result = disk.run(DiskParams(transfer=transfer), requests, image)
    assert result.sha256 == digest
    assert result.images[0].read(0, image.sectors) == content
    assert result.requests == len(requests)
    assert result.bytes == 512 * sum(r.sectors for r in requests)
    assert result.interrupts >= sum(r.op == "F" for r in requests)
    assert result.exit_ns + result.guest_ns + result.device_ns == result.virtual_ns


def test_pio_by_single_words_gives_the_same_bytes(image):
    requests = trace.load(data.path("traces/read_all_files.csv"))
    result = disk.run(DiskParams(transfer="pio", string=False, width=2, polled=True), requests, image)
    assert result.sha256 == expected(requests, image)[0]
    assert result.exits["IO_INSTRUCTION"] > result.bytes // 2


def test_two_runs_are_the_same_run(image):
    requests = trace.load(data.path("traces/untar.csv"))
    assert disk.run(DiskParams(guests=3), requests, image) == disk.run(DiskParams(guests=3), requests, image)


def test_guests_have_disks_of_their_own():
    result = disk.run(DiskParams(guests=4), [trace.Request("R", 0, 8), trace.Request("W", 8, 8)])
    assert result.requests == 8 and result.bytes_read == 4 * 4096
    assert all(one.read(8)[:8] == (1).to_bytes(8, "little") for one in result.images)


def test_exits_are_counted_by_arithmetic_that_a_student_can_do():
    """One 4 KiB read by DMA: 8 task-file writes, 2 status reads, 8 at the bus master, 2 EOIs, 1 HLT."""
    one = disk.run(DiskParams(bytes=4096, transfer="dma"))
    ten = disk.run(DiskParams(bytes=40_960, transfer="dma"))
    assert ten.exits_total == 10 * one.exits_total
    assert one.exits == {"IO_INSTRUCTION": 19, "HLT": 1}
    assert one.exits_by_device == {"ata": 9, "bus master": 8, "pic": 2, "hypervisor": 1}


@pytest.mark.parametrize("bad", [dict(mode="magic"), dict(guests=0), dict(guests=257), dict(block=1000), dict(block=0),
                                 dict(bytes=100), dict(bytes=0), dict(queue_depth=0), dict(costs="abacus"),
                                 dict(transfer="pigeon"), dict(width=3), dict(block=1 << 40)])
def test_parameters_are_checked_at_the_door(bad):
    (name, value), = bad.items()
    with pytest.raises(ValueError, match=str(value)) as caught:
        disk.run(DiskParams(**bad))
    assert name in str(caught.value) or name == "costs" and "preset" in str(caught.value)


@pytest.mark.parametrize("text,complaint", [
    ("", "line 1.*empty file"),
    ("time,op\n", "line 1.*expected 'time_us,op,lba,sectors'"),
    ("time_us,op,lba,sectors\n0,R,0\n", "line 2: 3 columns"),
    ("time_us,op,lba,sectors\n0,R,0,1\n5,X,0,1\n", "line 3: operation 'X'"),
    ("time_us,op,lba,sectors\n0,R,zero,1\n", "line 2.*whole numbers"),
    ("time_us,op,lba,sectors\n0,R,0,0\n", "line 2.*1 to 65536 sectors"),
    ("time_us,op,lba,sectors\n0,R,-5,1\n", "line 2.*lba -5"),
    ("time_us,op,lba,sectors\n0,W,0,65537\n", "line 2.*sectors 65537"),
])
def test_a_bad_trace_names_its_line(tmp_path, text, complaint):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        trace.load(path)


def test_a_trace_past_the_end_of_the_disk_names_its_line(tmp_path, capsys):
    path = tmp_path / "far.csv"
    path.write_text("time_us,op,lba,sectors\n0,R,0,8\n0,F,0,0\n0,R,2047,2\n")
    small = tmp_path / "small.img"
    small.write_bytes(bytes(1 << 20))
    assert main(["run", "--trace", str(path), "--image", str(small), "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "line 4: LBA 2047 + 2 sectors; the disk ends at 2048" in err


@pytest.mark.parametrize("content", [None, b"", b"x" * 511, b"\x1f\x8bnot gzip"])
def test_bad_images_are_refused_by_name(tmp_path, content, capsys):
    path = tmp_path / "disk.img"
    if content is not None:
        path.write_bytes(content)
    assert main(["run", "--image", str(path)]) == 2
    assert "disk.img" in capsys.readouterr().err


def test_run_prints_one_json_object_and_saves_the_disk(tmp_path, capsys):
    source, saved = tmp_path / "disk.img.gz", tmp_path / "after.img"
    source.write_bytes(gzip.compress(bytes(1 << 20)))
    path = tmp_path / "t.csv"
    path.write_text("time_us,op,lba,sectors\n0,F,0,0\n1,W,5,2\n2,R,4,3\n")
    assert main(["run", "--device", "disk", "--mode", "emulated", "--dma", "--trace", str(path), "--image", str(source),
                 "--save", str(saved), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    written = (1).to_bytes(8, "little") * 64 * 2
    assert result["sha256"] == hashlib.sha256(bytes(512) + written).hexdigest()
    assert saved.read_bytes()[5 * 512:7 * 512] == written
    assert gzip.decompress(source.read_bytes()) == bytes(1 << 20)
    assert set(result) >= {"exits", "exits_total", "requests", "bytes", "sha256", "virtual_ns", "signals", "interrupts"}
    assert result["requests"] == 3 and result["exits_total"] == sum(result["exits"].values())


def test_a_difference_disk_leaves_its_base_alone(tmp_path):
    base = Image.open(bytes(range(256)) * 2 * 8)
    mine, other = Overlay(base), Overlay(base)
    mine.write(2, b"m" * 1024)
    assert mine.read(1, 4) == base.read(1) + b"m" * 1024 + base.read(4)
    assert other.read(0, 8) == base.read(0, 8)
    mine.save(tmp_path / "mine.img")
    assert (tmp_path / "mine.img").read_bytes() == mine.read(0, 8)
    for lba, content in ((7, bytes(1024)), (-1, bytes(512)), (0, bytes(100))):
        with pytest.raises(ValueError):
            mine.write(lba, content)
