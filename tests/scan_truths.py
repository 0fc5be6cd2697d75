"""What the panels of *Scan in parallel* must show: the image's own words, each search's end, what the device's bytes take, what each look saw."""

from vmio.experiments import scan, scan_control
from vmio.experiments.scan import ScanParams

from tests.panel_rig import Truth, numbers

HANDED = {"own parts": {"shared": False, "backup": False}, "one list": {"shared": True, "backup": False}, "one list, copies": {"shared": True, "backup": True}}
KIB, DEVICE = 6784, 5_696_913_408
PIECES = 53     # of 128 KiB


def workers(answer, **settings):
    result = scan.run(ScanParams(kib=KIB, **HANDED[answer], **settings))
    text = scan.image().read(0, 2 * KIB).lower()
    mb, ns = KIB * 1024 / 1e6, result.virtual_ns
    ends = {}
    for n in range(settings["workers"]):
        own = [until for worker, _, until in result.spans if worker == n]
        ends[f"worker {n} ({len(own)})"] = max(own, default=0) / 1e6
    read = len(result.latencies) * (64 * 1024 + 512) - 512 * sum(1 for _ in range(len(result.latencies) - KIB // 64 + 1 - result.copies))
    words = [settings["workers"], 64, ns / 1e6, mb * 1e9 / ns, result.exits, result.exits / mb, 100 * read * 1e9 / DEVICE / ns, result.host_cpu_ns / 1e6,
             result.copies, *(text.count(word) for word in (b"license", b"copyright", b"warranty", b"the"))]
    return Truth(words, charts=[ends])


def rules(rule, delay):
    one = scan_control.run(rule, delay)
    looks = [(at, took, depth) for at, took, depth in one.steps]
    turns, rising = [], False
    for (_, _, before), (at, _, depth) in zip(looks, looks[1:]):
        if depth > before and not rising:
            turns.append(at)
        rising = rising if depth == before else depth > before
    reads = [ns for _, ns in one.result.latencies]
    words = [300, one.result.virtual_ns / 1e6, 100 * sum(ns <= 300_000 for ns in reads) / len(reads), 150, max(took for _, took, _ in looks),
             min(depth for _, _, depth in looks), max(depth for _, _, depth in looks), len(turns)]
    if len(turns) > 2:
        words.append((turns[-1] - turns[0]) / (len(turns) - 1))
    return Truth(words, charts=[{rule: [(at, depth) for at, _, depth in looks]}, {rule: [(at, took) for at, took, _ in looks]}])


def changed(what, memory, later, when):
    change = {"memory": ("memory", later), "channels: 1": ("channels", 1), "cores: 1": ("cores", 1), "reads ahead: 8": ("depth", 8), "functions": ("passthrough", 1)}.get(what)
    guests, asked = what == "functions", () if change is None else ((when * 1000, *change),)
    result = scan.run(ScanParams(kib=KIB, piece_kib=128, passes=2, rate=4000, merge_ns=0, costs=scan_control.SLOW_DISK, kind="guests" if guests else "vcpus",
                                 memory=None if guests else memory, changes=asked))
    text = scan.image().read(0, 2 * KIB).lower()
    read, hits, end = [at for at, _ in result.latencies], result.hits, result.virtual_ns / 1e6
    assert len(read) + len(hits) == 2 * PIECES
    added = (later - memory) * 256 if what == "memory" and 0 < later - memory <= 32 else 0
    words = [4, 2, end, len(read), len(read) - PIECES, len(hits), added, result.exits, 100 * result.device_ns / result.virtual_ns,
             *(text.count(word) for word in (b"license", b"copyright", b"warranty", b"the"))]
    for ns, said in result.changes:
        words += [ns / 1e6, *(value for value, _ in numbers(said))]
    if result.changes:
        assert result.changes[0][0] == when * 1_000_000
    whole = range(1 + max(*read, *hits, 0) // 1_000_000)
    charts = [{name: [(n, sum(n <= at / 1e6 < n + 1 for at in times)) for n in whole] for name, times in (("read", read), ("found in memory", hits))}]
    if not guests:
        asked = [ns / 1e6 for ns, said in result.changes if said.startswith("guest0") and "wanted" not in said]
        charts.append({"guest 0": [(0, memory), *((at, memory + added // 256) for at in asked), (end, memory + added // 256)]})
    return Truth(words, charts=charts)
