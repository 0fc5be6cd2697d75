"""What the panel of a guest's disks must show: every request and every end, seen at the drivers' own doors."""

from contextlib import ExitStack
from unittest import mock

from vmio.drivers.nvme_disk import NvmeDisk
from vmio.drivers.storvsc_queue import StorQueue
from vmio.drivers.storvsc_unit import Unit
from vmio.experiments import device_story
from vmio.modes import Machine

from tests.panel_rig import Truth

NAMES = FIRST, SECOND, LUN, PASSED = "first", "second", "LUN 1", "passed through"
SLICE, SLICES = 100_000, 16


class Log:
    """{name: [the host's clock at each request]} and {name: [(the host's clock, the guest's, error) at each end]}."""

    def __init__(self):
        self.sent, self.ends, self.disks = {name: [] for name in NAMES}, {name: [] for name in NAMES}, []

    def name(self, disk):
        if isinstance(disk, Unit | NvmeDisk):
            return LUN if isinstance(disk, Unit) else PASSED
        if disk not in self.disks:
            self.disks.append(disk)             # controllers with a disk, in the order in which the guest uses them
        return (FIRST, SECOND)[self.disks.index(disk)]

    def watched(self, kind):
        submit, reap = kind.submit, kind.reap

        def submitted(disk, op, lba, sectors, gpa, tag, done=None, *more):
            submit(disk, op, lba, sectors, gpa, tag, done, *more)
            if done is None:                    # else it is a unit's, and was seen there
                self.sent[self.name(disk)].append(disk.cpu.guest.host.env.now)

        def reaped(disk):
            found = reap(disk)
            self.ends[self.name(disk)].extend((disk.cpu.guest.host.env.now, disk.cpu.now, error) for _, error in found)
            return found
        return mock.patch.multiple(kind, submit=submitted, reap=reaped)


def seen(**params):
    """{name: (done, failed, under way)}, a list of a number for each slice."""
    log, added = Log(), []

    class Seen(Machine):
        def add(self, *args, **options):
            added.append(self.host.env.now)
            return super().add(*args, **options)
    with ExitStack() as all_of_it:
        for kind in (StorQueue, Unit, NvmeDisk):
            all_of_it.enter_context(log.watched(kind))
        all_of_it.enter_context(mock.patch.object(device_story, "Machine", Seen))
        device_story.run(device_story.DevicesParams(**params))
    began = added[0] - params["added_us"] * 1000
    found = {}
    for name in NAMES:
        ends = [((at - began) // SLICE, error is not None) for _, at, error in log.ends[name]]
        until = [began + (part + 1) * SLICE for part in range(SLICES)]
        found[name] = ([ends.count((part, False)) for part in range(SLICES)], [ends.count((part, True)) for part in range(SLICES)],
                       [sum(at < end for at in log.sent[name]) - sum(at < end for at, _, _ in log.ends[name]) for end in until])
    return found


def panel(until_us, **params):
    part, words, failed = until_us // 100, [until_us, params["queue_depth"], params["added_us"], params["grown_us"], params["removed_us"]], {}
    for name, (done, errors, under_way) in seen(**params).items():
        words += [1] * (name == LUN) + [sum(done[:part]), sum(errors[:part]), under_way[part - 1]]
        failed[name] = sum(errors[:part])
    return Truth(words, charts=[failed])
