"""A kernel that was kept and goes on elsewhere is the kernel that nobody has disturbed: console, exits by row, phases, times, disks."""

from tests.linux_rig import NAMES, all_modes, disk, mark, start
from tests.linux_rig import reads as commands
from vmio.boot import checkpoint
from vmio.machine import checkpoint_file
from vmio.machine.checkpoint import CheckpointRefused
from vmio.machine.probes import watch

BUSY = "i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo '<1>busy' > /dev/kmsg; done"


def same(result, undisturbed):
    assert result.to_dict() == undisturbed.to_dict()
    assert (result.console, result.rows, result.phases, result.vectors) == (
        undisturbed.console, undisturbed.rows, undisturbed.phases, undisturbed.vectors)


def test_two_boots_are_one_and_one_that_is_kept_on_its_way_goes_on_elsewhere(tmp_path):
    """Kept before its first program, when no driver has been loaded and the bus's first message is still to come, and between two reads."""
    kept, here = [], ["Poking KASLR", "VMIO-MARK read nvme0n1\n"]

    def keep(boot):
        if here and boot.console.text.endswith(here[0]):
            kept.append(checkpoint.saved(boot))
            del here[0]
        raise CheckpointRefused("it goes on")
    boot = start(commands(NAMES.values()), modes=("all",), until="Poking KASLR", keep=keep)
    watch(boot.console, "marked", lambda name: boot.cpu.pause() if name == "read nvme0n1" else None)
    same(boot.run(), all_modes())
    first, second = kept
    checkpoint_file.write(tmp_path / "kept", second)
    assert (tmp_path / "kept").stat().st_size < 64 << 20
    for state in (first, checkpoint_file.read(tmp_path / "kept")):
        same(checkpoint.restored(state, disk(), timeout=600).run(), all_modes())


def in_flight(boot):
    """{mode} of the disks that have a request."""
    _, ide, split, emulated, assigned = boot.guest.attachments
    found = {"emulated": ide._pending is not None, "nvme": bool(emulated._at_medium),
             "split": any(sq.requests for sq in split.backend.disk.controller.sqs.values()),
             "passthrough": any(sq.requests for sq in assigned.lent.function.pci.device.sqs.values() if sq.id)}
    return {mode for mode, busy in found.items() if busy}


def test_kept_with_a_request_in_flight_in_each_mode():
    """Another program goes on meanwhile and exits: at each of its exits the machine stands still, which changes nothing, and may be kept."""
    lines = [f"await {' '.join(f'/dev/{name}' for name in NAMES.values())}", mark("go")]
    for name in NAMES.values():
        lines += [f"({BUSY}) & dd if=/dev/{name} of=/tmp/{name} bs=65536 count=4 iflag=direct 2>/dev/null; wait"]
    lines += [mark("end"), "md5sum /tmp/*"]
    first = start(lines, modes=("all",))
    undisturbed = first.run()
    boot, kept, going = start(lines, modes=("all",)), {}, []

    def paused():
        for mode in in_flight(boot) - kept.keys():
            kept[mode] = checkpoint.saved(boot)
    watch(boot.cpu, "paused", paused)
    watch(boot.console, "marked", lambda name: going.append(name))
    watch(boot.cpu.table, "exited", lambda exit: boot.cpu.pause() if going and going[-1] == "go" else None)
    same(boot.run(), undisturbed)
    assert kept.keys() == NAMES.keys()
    for mode, state in kept.items():
        again = checkpoint.restored(state, disk(), timeout=600)
        assert mode in in_flight(again)
        same(again.run(), undisturbed)
        assert {name: each.own for name, each in again.media.items()} == {name: each.own for name, each in first.media.items()}
