"""Disks as chains of differencing layers: in memory over a running guest, and as VHDX files, judged by qemu-img and our own reader."""

import hashlib
import shutil
import subprocess
from random import Random

import pytest
from tests.checkpoint_rig import outcome, requests

from vmio.experiments.disk import pattern
from vmio.machine.checkpoint import CheckpointRefused, from_json, plain, to_json
from vmio.machine.media.chain import Layer, LayeredDisk
from vmio.machine.media.vhdx_wire import FULLY_PRESENT, PARTIALLY_PRESENT
from vmio.machine.media.vhdx_write import PER_BLOCK, write_disk, write_layer
from vmio.machine.overlay import Overlay
from vmio.machine.storage import Image
from vmio.modes import Machine, attachment

SECTOR, SECTORS = 512, 256


def sector(n):
    return n.to_bytes(4, "little") * 128


def image(sectors=SECTORS):
    return Image.open(b"".join(sector(1000 + n) for n in range(sectors)))


def whole(disk):
    return bytes(disk.read(0, disk.sectors))


class Plain:
    """What the chain should be: a copy of all sectors for each checkpoint."""

    def __init__(self, disk):
        self.now, self.kept = bytearray(whole(disk)), {}

    def write(self, lba, data):
        self.now[lba * SECTOR:lba * SECTOR + len(data)] = data

    def discard(self, lba, count):
        self.write(lba, bytes(count * SECTOR))


def content_of(disk, name):
    """What a checkpoint holds, read past the layers above it."""
    other = LayeredDisk(disk.base)
    other.layers = disk.layers[:disk.checkpoints.index(name) + 1]
    return whole(other)


@pytest.mark.parametrize("seed", range(30))
def test_any_order_of_checkpoints_reverts_merges_and_writes_is_that_of_whole_copies(seed):
    dice, disk = Random(seed), LayeredDisk(image())
    model, merging = Plain(disk), None
    for step in range(150):
        lba = dice.randrange(SECTORS - 8)
        act = dice.choice("wwwwddrcmxk")
        if act == "w":
            data = b"".join(sector(10_000 * step + n) for n in range(dice.randint(1, 8)))
            disk.write(lba, data)
            model.write(lba, data)
        elif act == "d":
            disk.discard(lba, 5)
            model.discard(lba, 5)
        elif act == "r":
            assert bytes(disk.read(lba, 8)) == model.now[lba * SECTOR:(lba + 8) * SECTOR]
        elif act == "c" and len(disk.layers) < 7:
            disk.checkpoint(f"c{step}")
            model.kept[f"c{step}"] = bytes(model.now)
        elif act == "m" and merging is None and disk.checkpoints:
            name = dice.choice(disk.checkpoints)
            merging = disk.merge(name, step=3)
            del model.kept[name]
        elif act == "m" and merging is not None:
            merging = merging if next(merging, None) is not None else None
        elif act == "x" and merging is None and disk.checkpoints:
            name = dice.choice(disk.checkpoints)
            disk.revert(name)
            model.now = bytearray(model.kept[name])
            model.kept = {each: model.kept[each] for each in disk.checkpoints}
        elif act == "k":
            other = LayeredDisk(image())
            other.take_back(from_json(to_json(plain(disk.saved_sectors()))))
            disk, merging = other, None if merging is None else other.go_on_merging(step=3)
        assert whole(disk) == model.now
        for name, kept in model.kept.items():
            assert content_of(disk, name) == kept, (step, act, name)


def test_a_read_asks_as_many_layers_as_lie_over_what_it_wants():
    disk = LayeredDisk(image())
    for depth in range(1, 6):
        disk.write(depth, sector(depth))
        disk.checkpoint(f"c{depth}")
    disk.read(5, 1)
    assert disk.looked_up() == {"now": 1, "c5": 1, "c4": 0, "c3": 0, "c2": 0, "c1": 0, "image": 0}
    disk.read(2, 1)
    assert disk.looked_up() == {"now": 2, "c5": 2, "c4": 1, "c3": 1, "c2": 1, "c1": 0, "image": 0}
    disk.read(100, 8)
    assert disk.looked_up() == {"now": 3, "c5": 3, "c4": 2, "c3": 2, "c2": 2, "c1": 1, "image": 1}
    disk.read(4, 4)               # two of its sectors are in layers, two in the image
    assert list(disk.looked_up().values()) == [4, 4, 3, 3, 3, 2, 2] and [layer.found for layer in disk.layers] == [0, 1, 0, 1, 2, 0]
    disk.write(100, sector(7))    # a write looks nowhere
    assert list(disk.looked_up().values()) == [4, 4, 3, 3, 3, 2, 2]


def test_what_an_administrator_can_t_do_is_one_sentence_and_changes_nothing():
    disk = LayeredDisk(image(), "vm.vhdx")
    disk.checkpoint("a")
    disk.write(0, sector(1))
    for act, why in ((lambda: disk.checkpoint("a"), "checkpoint 'a': a name of its own is needed; disk vm.vhdx has a"),
                     (lambda: disk.checkpoint("now"), "a name of its own"), (lambda: disk.checkpoint(""), "a name of its own"),
                     (lambda: disk.revert("b"), "checkpoint 'b': there is none of that name; disk vm.vhdx has a"),
                     (lambda: disk.merge("b"), "there is none"), (lambda: disk.go_on_merging(), "nothing is being merged")):
        with pytest.raises(ValueError, match=why):
            act()
    merging = disk.merge("a", step=1)
    for act in (lambda: disk.merge("a"), lambda: disk.revert("a")):
        with pytest.raises(ValueError, match="a is being merged; one thing at a time"):
            act()
    list(merging)
    assert disk.checkpoints == [] and disk.read(0) == sector(1)


def test_a_merge_adds_up_what_was_counted_and_a_clone_begins_at_none():
    disk = LayeredDisk(image())
    disk.write(0, sector(1))
    disk.checkpoint("a")
    disk.write(1, sector(2))
    disk.checkpoint("b")
    disk.read(0, 3)
    other = disk.clone("b")
    assert other.looked_up() == {"now": 0, "b": 0, "a": 0, "image": 0} and [layer.found for layer in other.layers] == [0, 0, 0]
    merging = disk.merge("a")
    with pytest.raises(ValueError, match="a is being merged; one thing at a time"):
        disk.clone("b")
    list(merging)
    assert disk.looked_up() == {"now": 1, "b": 2, "image": 1} and [layer.found for layer in disk.layers] == [2, 0]
    with pytest.raises(ValueError):
        disk.discard(SECTORS - 1, 2)
    assert not disk.top.zeroed.starts


@pytest.mark.parametrize("change", [lambda s: s["layers"].clear(), lambda s: s["layers"].reverse(), lambda s: s.update(merging="zz"),
                                    lambda s: s["layers"][0].update(name="now")])
def test_layers_that_are_no_chain_are_refused(change):
    disk = LayeredDisk(image())
    disk.checkpoint("a")
    state = plain(disk.saved_sectors())
    change(state)
    with pytest.raises(CheckpointRefused, match="are no chain"):
        LayeredDisk(image()).take_back(state)
    with pytest.raises(CheckpointRefused, match="sectors: saved with 256, here it is 8"):
        LayeredDisk(image(8)).take_back(plain(disk.saved_sectors()))


# Under a running guest.

WORK = requests(*[(kind, 8 * n) for n in range(24) for kind in ("write", "read")], depth=4)


def machine_of(disk, checkpoints=False):
    machine = Machine(checkpoints=checkpoints)
    guest = machine.guest("g", attachment("disk", "split"), disk)
    machine.power_on()
    return machine, (guest, WORK(guest.attachments[0].driver_memory))


@pytest.mark.parametrize("every", (1, 3, 7))
def test_checkpoints_and_merges_while_requests_are_in_flight_lose_nothing(every):
    alone = Overlay(pattern(1))
    machine, pair = machine_of(alone)
    expected = machine.start(pair).to_the_end()
    disk = LayeredDisk(pattern(1))
    machine, pair = machine_of(disk)
    run, steps, merging, merged, kept = machine.start(pair), 0, None, 0, {}
    while run.step():
        steps += 1
        if merging is not None and next(merging, None) is None:
            merging, merged = None, merged + 1
        if steps % (9 * every) == 0 and len(disk.layers) < 8:
            disk.checkpoint(f"c{steps}")
            kept[f"c{steps}"] = hashlib.sha256(whole(disk)).hexdigest()
        if steps % (13 * every) == 0 and merging is None and len(disk.checkpoints) > 1:
            name = disk.checkpoints[len(disk.checkpoints) // 2]          # the middle one
            merging = disk.merge(name, step=2)
            del kept[name]
    assert run.to_the_end() == expected and merged
    list(merging or ())
    assert hashlib.sha256(whole(disk)).digest() == hashlib.sha256(whole(alone)).digest()
    for name, digest in kept.items():
        assert hashlib.sha256(content_of(disk, name)).hexdigest() == digest


def test_a_machine_and_its_disk_go_back_together():
    machine, pair = machine_of(LayeredDisk(pattern(1)), checkpoints=True)
    run = machine.start(pair)
    disk = machine.guests[0].media[0]
    while disk.top.own == {}:
        run.step()
    disk.checkpoint("then")
    state = machine.save()
    kept = whole(disk)
    run.to_the_end()
    assert whole(disk) != kept
    disk.revert("then")
    assert whole(disk) == kept
    other = LayeredDisk(pattern(1))
    machine, pair = machine_of(other, checkpoints=True)
    machine.restore(from_json(to_json(state)), pair).to_the_end()
    undisturbed, pair = machine_of(Overlay(pattern(1)))
    undisturbed.start(pair).to_the_end()
    assert whole(other) == whole(undisturbed.guests[0].media[0]) and other.checkpoints == ["then"]
    assert outcome(undisturbed, 0)[1][0][0] == outcome_of_layers(machine)


def outcome_of_layers(machine):
    """The vCPUs' part of `outcome`, for a disk whose writes are in layers."""
    guest = machine.guests[0]
    guest.media[0].own = {}
    return outcome(machine, 0)[1][0][0]


# In files.

def chain_of_files(folder, depth=3, sectors=3 * PER_BLOCK + 100):
    """(the disk, its files from the lowest): an image and some layers, written, discarded and partly so."""
    dice = Random(depth)
    disk = LayeredDisk(Image.open(b"".join(sector(n) for n in range(PER_BLOCK // 2)).ljust(sectors * SECTOR, b"\0")))
    files = [folder / "base.vhdx"]
    write_disk(files[0], disk.base)
    for level in range(depth):
        for _ in range(40):
            disk.write(dice.randrange(sectors - 9), b"".join(sector(dice.getrandbits(31)) for _ in range(dice.randint(1, 9))))
        disk.discard(dice.randrange(sectors - 900), 900)
        if level == 1:
            disk.write(PER_BLOCK, b"".join(sector(dice.getrandbits(31)) for _ in range(PER_BLOCK)))       # all of a block
        disk.checkpoint(f"level {level}")
        files.append(folder / f"level{level}.vhdx")
        write_layer(files[-1], disk.layers[level], str(files[-2]))
    return disk, files


def test_a_chain_of_files_reads_as_the_layers_do(tmp_path):
    disk, files = chain_of_files(tmp_path)
    for level, path in enumerate(files[1:]):
        with Image.open(path) as found:
            assert found.paths == tuple(map(str, reversed(files[:level + 2])))
            assert whole(found) == content_of(disk, f"level {level}")
    with Image.open(files[2]) as found:
        states = [found.base._table[n] & 7 for n in range(4)]
        assert states[1] == FULLY_PRESENT and PARTIALLY_PRESENT in states       # all of block 1 is written
    assert disk.layers[0].asked == disk.layers[0].found == 0 or disk.looked_up()["now"] == 0      # who writes files is no guest


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="no qemu-img")
def test_qemu_img_reads_what_the_merged_chain_is(tmp_path):
    disk, files = chain_of_files(tmp_path)
    for name, content in (("base.vhdx", whole(disk.base)), ("merged.vhdx", whole(disk))):
        if name == "merged.vhdx":
            write_disk(tmp_path / name, disk)
        checked = subprocess.run(["qemu-img", "check", "-f", "vhdx", tmp_path / name], capture_output=True, text=True)
        assert checked.returncode == 0 and "No errors were found" in checked.stdout, checked
        subprocess.run(["qemu-img", "convert", "-f", "vhdx", "-O", "raw", tmp_path / name, tmp_path / "raw"], check=True)
        assert (tmp_path / "raw").read_bytes() == content
    subprocess.run(["qemu-img", "create", "-f", "vhdx", tmp_path / "theirs.vhdx", "8M"], check=True, capture_output=True)
    write_layer(tmp_path / "over.vhdx", disk.layers[0], str(tmp_path / "theirs.vhdx"))        # over a parent of theirs
    with Image.open(tmp_path / "over.vhdx") as found:
        lba, data = next(iter(disk.layers[0].own.items()))
        assert found.read(lba) == data


def test_a_parent_that_is_missing_or_was_changed_is_one_sentence(tmp_path):
    disk, files = chain_of_files(tmp_path, depth=2)
    content = files[1].read_bytes()
    files[1].unlink()
    with pytest.raises(ValueError, match=r"level1.vhdx: is a differencing disk, and its parent is not at '.*level0.vhdx'"):
        Image.open(files[2])
    disk.layers[0].own[next(iter(disk.layers[0].own))] = sector(77)
    write_layer(files[1], disk.layers[0], str(files[0]))
    with pytest.raises(ValueError, match=r"level0.vhdx is not the parent that it was made from, or was written to since: the identifiers differ"):
        Image.open(files[2])
    files[1].write_bytes(content)
    with Image.open(files[2]) as found:
        assert found.sectors == disk.sectors
    files[0].write_bytes(b"no disk")
    with pytest.raises(ValueError, match="base.vhdx: VHDX: 7 bytes; its header section alone"):
        Image.open(files[2])


def test_what_can_t_be_written_leaves_what_was_there(tmp_path):
    disk, files = chain_of_files(tmp_path, depth=1)
    before = [path.read_bytes() for path in files]
    small = tmp_path / "small.vhdx"
    write_disk(small, image(8))
    large = Layer()
    large.own[9000] = sector(1)
    for act, why in ((lambda: write_layer(files[0], disk.layers[0], str(files[0])), "it is the same file as layer 0"),
                     (lambda: write_layer(tmp_path / "x", large, str(small)), "layer now: sector 9000 was written; .*small.vhdx has 8"),
                     (lambda: write_layer(tmp_path / "x", disk.layers[0], str(tmp_path / "no.vhdx")), "no.vhdx"),
                     (lambda: write_disk(tmp_path / "no" / "x", disk), "there is no folder")):
        with pytest.raises(ValueError, match=why):
            act()
    assert [path.read_bytes() for path in files] == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.vhdx", "level0.vhdx", "small.vhdx"]


def test_a_guest_s_reads_cost_what_the_depth_makes_them_cost():
    from vmio.experiments import chains
    for depth in (0, 1, 5, 15):
        found = chains.run(depth)
        # The top holds nothing; block n lies under `depth` - n layers, what was never written under all of them.
        asked = sum(depth - block + 1 for block in range(depth)) + (16 - depth) * (depth + 2)
        assert sum(found.asked.values()) == asked and found.asked["now"] == 16 and found.asked["image"] == 16 - depth
    assert "per read" in chains.to_table([chains.run(3)])
    with pytest.raises(ValueError, match="checkpoints 16: 0 to 15"):
        chains.run(16)
