"""What the panels of *Scan in parallel* must show: the image's own words, each search's end, what the device's bytes take, what each look saw."""

from vmio.experiments import scan, scan_control
from vmio.experiments.scan import ScanParams

from tests.panel_rig import Truth

HANDED = {"own parts": {"shared": False, "backup": False}, "one list": {"shared": True, "backup": False}, "one list, copies": {"shared": True, "backup": True}}
KIB, DEVICE = 6784, 5_696_913_408


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
