"""Containers from one base layer: frames and requests by closed forms, the bytes by the layer itself, limits by their sentences."""

import hashlib
import json

import pytest

from vmio import data
from vmio.experiments.containers import density
from vmio.experiments.containers.density import DensityParams, Fleet, run
from vmio.machine.memory import PAGE
from vmio.machine.storage import Image

WAYS = ("process", "scsi"), ("hyperv", "scsi"), ("hyperv", "vpmem")


def recorded():
    """The recorded start, read by hand: [(op, lba, sectors)]"""
    lines = data.path("traces/read_all_files.csv").read_text(encoding="utf-8").splitlines()[1:]
    return [(op, int(lba), int(sectors)) for _, op, lba, sectors in (line.split(",") for line in lines)]


def of_the_start():
    """(pages of the layer that a start reads, its digest, sectors it writes, requests of a kernel that has nothing, and of one that has all)"""
    image, known, digest, reads = Image.open(data.path("licenses-ext4.img.gz")), set(), hashlib.sha256(), 0
    for op, lba, sectors in recorded():
        if op == "R":
            pages = range(lba // 8, (lba + sectors - 1) // 8 + 1)
            digest.update(image.read(pages[0] * 8, len(pages) * 8))
            reads += not known.issuperset(pages)
            known.update(pages)
    written = {at for op, lba, sectors in recorded() if op == "W" for at in range(lba, lba + sectors)}
    others = sum(op != "R" for op, *_ in recorded())
    return known, digest.hexdigest(), len(written), reads + others, others


@pytest.mark.parametrize("isolation, layer", WAYS)
@pytest.mark.parametrize("count", (1, 2, 5))
def test_what_is_counted_follows_closed_forms(isolation, layer, count):
    known, digest, written, first, others = of_the_start()
    one, many = (run(DensityParams(n, isolation, layer, private_kib=32)) for n in (1, count))
    mapped, alone = layer == "vpmem", isolation == "process"
    kernels = 1 if alone else count
    assert (many.guests, many.started, many.digests, many.refused) == (kernels, count, [digest], [])
    assert many.pages["layer"] == len(known) * (1 if alone or mapped else count)
    assert many.pages["containers"] == 8 * count and many.pages["drivers"] == kernels * one.pages["drivers"]
    assert many.pages["tables"] == kernels * one.pages["tables"]
    assert many.disk_bytes == len(known) * PAGE * (1 if alone or mapped else count)
    assert many.scratch_bytes == written * 512 * count
    asked = others * count if mapped else first + others * (count - 1) if alone else first * count
    assert many.requests == asked
    touched = {"first touch, RAM": many.pages["drivers"] + many.pages["containers"] + (0 if mapped else many.pages["layer"])}
    if mapped:
        touched["first touch, VPMem"] = len(known) * count
    assert {what: exits for what, exits in many.exits.items() if what.startswith("first touch")} == touched
    assert many.boot_exits == kernels * one.boot_exits
    for reason in ("HLT", "VMCALL"):         # each request costs one, and so does the boot
        assert many.exits[reason] - asked == kernels * (one.exits[reason] - one.requests)
    assert len(many.ns) == count and max(many.ns) <= many.all_ns


def test_the_layer_is_in_every_guests_table_read_only_and_in_the_hosts_memory_once():
    fleet = Fleet(DensityParams(3))
    fleet.begin().to_the_end()
    image = Image.open(data.path("licenses-ext4.img.gz"))
    guests = [kernel.machine.guest for kernel in fleet.kernels]
    for page, spa in fleet.frames.spas.items():
        leaves = {guest.slat.walk(guest.pmem[0].base + page * PAGE)[-1][2] for guest in guests}
        assert leaves == {spa | 5}          # read, execute
        assert guests[0].host.memory.read(spa, PAGE) == image.read(page * 8, 8)
    assert len(set(fleet.frames.spas.values())) == len(fleet.frames.spas) == 155 and fleet.frames.reads == 155
    assert guests[0].host.memory.bytes[:].count(image.read(1549 * 8, 8)) == 1      # a page of the tar
    copies = Fleet(DensityParams(3, layer="scsi"))
    copies.begin().to_the_end()
    assert copies.kernels[0].machine.host.memory.bytes[:].count(image.read(1549 * 8, 8)) == 3


def test_who_comes_second_waits_for_no_disk():
    one, two = (run(DensityParams(n, host_cores=4)) for n in (1, 2))
    assert two.disk_bytes == one.disk_bytes and sum(two.ns) < 2 * one.ns[0]


@pytest.mark.parametrize("isolation, layer", WAYS)
def test_a_container_that_asks_for_more_than_it_has(isolation, layer):
    small = run(DensityParams(3, isolation, layer, quota_kib=16))
    assert small.refused == [f"container {n}: no space left on its scratch disk, of 16 KiB" for n in range(3)]
    assert small.started == 0 and 0 < small.scratch_bytes <= 3 * 16 * 1024 and small.refused[0] in small.table()
    hungry = run(DensityParams(2, isolation, layer, private_kib=128, memory_kib=64))
    assert hungry.refused == [f"container {n}: 128 KiB of memory asked for; it may have 64" for n in range(2)] and hungry.pages["containers"] == 0


def test_one_that_has_no_room_does_not_stop_the_others():
    for isolation in ("process", "hyperv"):
        fleet = Fleet(DensityParams(3, isolation))
        fleet.containers[1].scratch.quota = 512
        fleet.begin().to_the_end()
        result = fleet.result()
        assert result.started == 2 and [one.ended is None for one in fleet.containers] == [False, True, False]
        assert result.refused == ["container 1: no space left on its scratch disk, of 1,024 KiB"]


def test_it_can_be_looked_at_while_it_runs():
    fleet = Fleet(DensityParams(4))
    parts = list(density.steps(DensityParams(4, private_kib=48)))
    assert len(parts) > 1 and parts[-1].started == 4 and parts[0].exits_total < parts[-1].exits_total
    assert parts[-1] == run(DensityParams(4, private_kib=48)) == list(density.steps(DensityParams(4, private_kib=48)))[0]
    going, seen = fleet.begin(), [fleet.result()]
    while going.step():
        if going.steps % 200 == 0:
            seen.append(fleet.result())
    assert seen[0].started == 0 and seen[0].exits_total == 0
    assert [one.exits_total for one in seen] == sorted(one.exits_total for one in seen) and len(seen) > 5
    assert fleet.result() == run(DensityParams(4))


def test_the_same_run_gives_the_same_numbers_and_plain_data():
    params = DensityParams(2, private_kib=16)
    fleet = Fleet(params)
    fleet.begin().to_the_end()
    assert fleet.result() == run(params)
    plain = json.loads(json.dumps(run(params).to_dict()))
    assert plain["schema"] == "vmio.density/1" and plain["memory_bytes"] == 4096 * sum(plain["pages"].values())


@pytest.mark.parametrize("change, text", [
    ({"containers": 0}, "containers 0: 1 to 64"), ({"containers": 65}, "containers 65: 1 to 64"), ({"containers": 1.5}, "containers 1.5"),
    ({"isolation": "none"}, "isolation 'none': choose one of process, hyperv"), ({"layer": "9p"}, "layer '9p': choose one of scsi, vpmem"),
    ({"private_kib": 6}, "private_kib 6: 4 to 256, a multiple of 4"), ({"memory_kib": 260}, "memory_kib 260"), ({"quota_kib": 0}, "quota_kib 0"),
    ({"host_cores": 0}, "host_cores 0"), ({"costs": "none"}, "none")])
def test_parameters_that_cannot_be(change, text):
    with pytest.raises(ValueError, match=text):
        run(DensityParams(**change))


def test_the_layer_is_the_one_that_was_meant(monkeypatch):
    monkeypatch.setattr(density, "DIGEST", "sha256:" + 64 * "0")
    density.base.cache_clear()
    try:
        with pytest.raises(ValueError, match="^layer licenses-ext4.img.gz: its digest is sha256:4152fc36"):
            Fleet(DensityParams(1))
    finally:
        density.base.cache_clear()
