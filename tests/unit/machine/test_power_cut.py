"""Power cuts in every mode, at every step: what a completed flush covers is there, whatever is lost of the rest."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.host.test_block import Rig as BlockRig
from vmio import data
from vmio.experiments import trace
from vmio.experiments.disk_run import DiskRun, needed
from vmio.experiments.trace import Request, payload
from vmio.machine.media.cached import VolatileCache
from vmio.machine.overlay import Overlay
from vmio.machine.storage import Image
from vmio.modes import attachment, one_guest

MODES = {"PIO": ("emulated", {"transfer": "pio"}), "READ MULTIPLE": ("emulated", {"transfer": "multiple"}),
         "DMA": ("emulated", {"transfer": "dma"}), "split": ("split", {}), "passthrough": ("passthrough", {})}
SECTORS = 2048
every_mode = pytest.mark.parametrize("mode", MODES)


class Steps(VolatileCache):
    """A cache that calls `changed(lbas)` whenever the device has changed what a cut would leave there."""

    __slots__ = ("changed",)

    def write(self, lba, data):
        super().write(lba, data)
        self.changed(range(lba, lba + len(data) // 512))

    def discard(self, lba, count):
        super().discard(lba, count)
        self.changed(range(lba, lba + count))

    def flush(self):
        waiting = self.unflushed
        super().flush()
        self.changed(waiting)


class Watched(DiskRun):
    """A guest whose requests are held, at each step of the medium and each answer, against what a cut might leave.

    `may[lba]` is what the guest has to reckon with, [(row of the request, content)]: the newest of what an answered
    flush covers, then all that was issued since.
    """

    def watch(self, at_answer):
        self.may, self.steps, self.at_answer = {}, 0, at_answer
        self.image.changed = self.changed

    def changed(self, lbas):
        self.steps += 1
        for lba in lbas:
            self.check(lba)

    def check(self, lba):
        allowed = {content for _, content in self.may[lba]}
        assert allowed.issuperset(self.image.possible(lba)), f"LBA {lba}, step {self.steps}"

    def _submit(self, cpu, row, request):
        op, lba, sectors = request
        for at in range(lba, lba + sectors if op in "WD" else lba):
            before = self.may.setdefault(at, [(-1, self.image.base.read(at))])
            before.append((row, payload(row, 1) if op == "W" else bytes(512)))
        super()._submit(cpu, row, request)

    def _over(self, cpu, row):
        super()._over(cpu, row)
        if self.requests[row].op == "F":      # it was issued when all writes before it had been answered
            for lba, contents in self.may.items():
                over = sum(earlier < row for earlier, _ in contents) - 1
                if over:
                    del contents[:over]
                    self.check(lba)
        self.at_answer(self)


def run(mode, requests, depth=4, base=None, at_answer=lambda run: None):
    """All requests in one mode; the `Watched`, at its end."""
    kind, options = MODES[mode]
    device = attachment("disk", kind, **options)
    room = needed(device, requests, 1 if kind == "emulated" else depth)
    machine = one_guest(device, Steps(Overlay(base or Image.open(b"\xee" * 512 * SECTORS))), ram_mib=room[2])
    one = Watched(machine, requests, room)
    one.watch(at_answer)
    machine.host.run((one.cpu, one.program))
    return one


def cut(medium, seed):
    """What is left of a disk after a cut now, and how; the disk itself goes on."""
    copy = VolatileCache(Overlay(medium.base))
    for lba in medium.unflushed:
        for content in medium.possible(lba)[1:]:
            copy.write(lba, content)
    return copy, copy.power_cut(seed)


@every_mode
@pytest.mark.parametrize("name", ["read_all_files", "sqlite_commits", "untar"])
def test_recorded_traces_with_a_cut_after_each_answer(mode, name):
    requests = [r for r in trace.load(data.path(f"traces/{name}.csv")) if r.op != "R"]
    lost = []

    def at_answer(run):
        waiting = run.image.unflushed
        left, losses = cut(run.image, seed=len(lost))
        assert all(left.read(lba) in {content for _, content in run.may[lba]} for lba in waiting)
        lost.append(losses.lost)
    end = run(mode, requests, base=Image.open(data.path("licenses-ext4.img.gz")), at_answer=at_answer)
    flushes = sum(r.op == "F" for r in requests)
    assert len(lost) == len(requests) and end.steps >= len(requests) and sum(lost) > flushes
    assert requests[-1].op != "F" or end.image.unflushed == []


LBAS, COUNTS = st.integers(0, 10), st.integers(1, 4)
REQUESTS = st.lists(st.one_of(st.builds(Request, st.sampled_from("WWD"), LBAS, COUNTS),
                              st.builds(Request, st.just("R"), LBAS, COUNTS), st.just(Request("F", 0, 0))),
                    min_size=1, max_size=25)


@every_mode
@settings(max_examples=15, deadline=None)
@given(requests=REQUESTS, depth=st.integers(1, 6), seed=st.integers(0, 1 << 30))
def test_any_requests(mode, requests, depth, seed):
    def at_answer(run):
        waiting = run.image.unflushed
        left, _ = cut(run.image, seed)
        assert all(left.read(lba) in {content for _, content in run.may[lba]} for lba in waiting)
    end = run(mode, requests + [Request("F", 0, 0)], depth, at_answer=at_answer)
    assert end.image.unflushed == []


# A journal's commit: data, flush, a record (at LBA 0) that they are there, flush.

COMMITS, RECORD, DATA = 4, 0, 64


def commits(first_flush=True):
    """(requests, {row of a record: (LBA of its data, row of the data)})."""
    requests, promises = [], {}
    for n in range(COMMITS):
        data_row = len(requests)
        requests.append(Request("W", DATA + 8 * n, 8))
        if first_flush:
            requests.append(Request("F", 0, 0))
        promises[len(requests)] = DATA + 8 * n, data_row
        requests += [Request("W", RECORD, 1), Request("F", 0, 0)]
    return requests, promises


def record_of(content, promises):
    """The row of the record that a sector holds, or None."""
    row = int.from_bytes(content[:8], "little")
    return row if content == payload(row, 1) and row in promises else None


@every_mode
def test_a_commit_never_shows_without_its_data_whatever_subset_is_lost(mode):
    requests, promises = commits()
    seen = set()

    def whole(lbas):
        """Every content that the record may have, with every content that its data may have."""
        Watched.changed(one, lbas)
        for content in one.image.possible(RECORD):
            row = record_of(content, promises)
            if row is not None:
                lba, data_row = promises[row]
                seen.add((row, one.image.unflushed == [RECORD]))
                assert all(one.image.possible(at) == (payload(data_row, 1),) for at in range(lba, lba + 8))

    def at_answer(run):
        nonlocal one
        one, run.image.changed = run, whole
        answered.append(run)
        if run.requests[len(answered) - 1].op == "F":
            flushed = [row for row in promises if row < len(answered)]
            assert not flushed or record_of(run.image.possible(RECORD)[-1], promises) == flushed[-1]
            assert len(run.image.possible(RECORD)) == 1
    one, answered = None, []
    run(mode, requests, depth=1, at_answer=at_answer)
    assert seen == {(row, unflushed) for row in promises for unflushed in (True, False)}


@every_mode
def test_without_the_first_flush_a_commit_shows_without_its_data(mode):
    """Seeds 0 to 9, the power cut when the first record has been answered and not flushed: the same ones in all modes."""
    requests, promises = commits(first_flush=False)
    broken = []

    def at_answer(run):
        if run.image.unflushed != [RECORD, *range(DATA, DATA + 8)] or broken:
            return
        for seed in range(10):
            left, _ = cut(run.image, seed)
            row = record_of(left.read(RECORD), promises)
            lost = row is not None and left.read(DATA, 8) != payload(promises[row][1], 8)
            broken.append(lost)
    run(mode, requests, depth=1, at_answer=at_answer)
    assert [seed for seed, lost in enumerate(broken) if lost] == [0, 5, 7, 9]


# The block layer: several guests before one cache.

def block_rig():
    rig = BlockRig(times={"read": 80_000, "write": 300_000, "flush": 20_000})      # a flush would overtake a write
    medium = VolatileCache(Image.open(bytes(512 * 64)))
    rig.image = rig.controller.image = rig.controller.nvm.image = medium
    rig.host.memory.write(rig.page, b"w" * 4096)
    return rig, medium


def test_a_flush_in_the_block_layer_covers_its_guests_writes_and_waits_for_no_other():
    rig, medium = block_rig()
    ends = []

    def end(name):
        def done(status):
            ends.append((name, status, medium.unflushed, [bytes(medium.base.read(lba)[:1]) for lba in (0, 8, 16)]))
        return done
    rig.layer.submit("a", "write", 0, 8, [rig.page], end("a write"))
    rig.layer.submit("a", "flush", 0, 0, [], end("a flush"))
    rig.host.env.run(until=rig.host.env.now + 290_000)
    rig.layer.submit("b", "write", 8, 8, [rig.page], end("b write"))
    rig.layer.submit("a", "write", 16, 8, [rig.page], end("a later write"))
    rig.host.env.run()
    old, new = b"\0", b"w"
    assert ends == [("a write", 0, list(range(8)), [old] * 3), ("a flush", 0, [], [new, old, old]),
                    ("b write", 0, [*range(8, 24)], [new, old, old]),
                    ("a later write", 0, [*range(8, 24)], [new, old, old])]


def test_a_flush_of_one_guest_may_leave_anothers_writes_in_the_cache_until_they_end():
    rig, medium = block_rig()
    ends = []
    rig.layer.submit("b", "write", 8, 8, [rig.page], lambda status: ends.append("b write"))
    rig.layer.submit("a", "flush", 0, 0, [], lambda status: ends.append("a flush"))
    rig.host.env.run()
    assert ends == ["a flush", "b write"] and medium.unflushed == list(range(8, 16))
    rig.layer.submit("b", "flush", 0, 0, [], lambda status: ends.append("b flush"))
    rig.host.env.run()
    assert ends[-1] == "b flush" and medium.unflushed == []
