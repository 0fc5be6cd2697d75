"""Tables and panels of *Scan in parallel*: many workers search one image, and what they have changes meanwhile."""

from dataclasses import replace
from functools import lru_cache
from textwrap import wrap
from typing import Any

from vmio.experiments import scan, scan_control, scan_scaling
from vmio.experiments.scan import ScanParams, ScanResult
from vmio.experiments.scan_control import MOST, PERIOD_US, RULES, TARGET_US, Governed
from vmio.lab import axes, charts
from vmio.lab.controls import choice, slider
from vmio.lab.declared import declared
from vmio.lab.panel import Panel, Shown
from vmio.table import number, table

GUESTS = ScanParams(kind="guests")
WAYS = {"1 vCPU, split": ScanParams(workers=1), "4 vCPUs, split": ScanParams(), "4 guests, split": GUESTS,
        "4 guests, passthrough": replace(GUESTS, mode="passthrough")}
ANSWERS: dict[str, dict[str, Any]] = {"own parts": {"shared": False}, "one list": {}, "one list, copies": {"backup": True}}
CHANGES = ScanParams(workers=8, changes=((500, "channels", 1), (1000, "cores", 2), (3000, "cores", 32), (3500, "channels", 8), (4000, "depth", 4)))
MOVED = replace(GUESTS, changes=((3000, "passthrough", 1),))
# Four vCPUs, of which each could search 4,000 MB in a second, on a disk that gives 1,000; what is kept in memory has not to be read again.
AGAIN = ScanParams(kib=6784, piece_kib=128, passes=2, rate=4000, merge_ns=0, costs=scan_control.SLOW_DISK)
MEMORY = replace(AGAIN, memory=2)
ROOMS = {"none": AGAIN, "2 MiB": MEMORY, "2 MiB, and 8 from 2 ms on": replace(MEMORY, changes=((2000, "memory", 8),)), "8 MiB": replace(MEMORY, memory=8)}
BACK = replace(AGAIN, kib=32768, piece_kib=256, memory=40)
LESS = replace(BACK, changes=((30_000, "memory", 20),))
OTHERS: dict[str, tuple[str, int] | None] = {
    "memory": ("memory", 0), "channels: 1": ("channels", 1), "cores: 1": ("cores", 1), "reads ahead: 8": ("depth", 8),
    "functions": ("passthrough", 1), "nothing": None}
# Four guests, of which each could search 4,000 MB in a second, on a disk that gives 1,000.
GREEDY = replace(GUESTS, kib=6784, rate=4000, merge_ns=0, shared=False, policy="fifo", costs=scan_control.SLOW_DISK)
CAP = 250                       # MB/s: a quarter of that disk
DEFENCES: dict[str, dict[str, Any]] = {
    "nobody is greedy": {}, "greedy, first come, first served": {"greedy": 8}, "greedy, a fair queue": {"greedy": 8, "policy": "fair"},
    "greedy, a limit": {"greedy": 8, "policy": "limits", "changes": ((0, "cap", CAP),)},
    "greedy, the limit after 1 ms": {"greedy": 8, "policy": "limits", "changes": ((1000, "cap", CAP),)}}
SEARCHED_KIB = 6784             # of the panel: the last word lies before there
RATES = 250, 1000, 2000          # MB/s that a core searches


@lru_cache(maxsize=512)
def run(params: ScanParams) -> ScanResult:
    """The scan by these parameters."""
    return scan.run(params)


@lru_cache(maxsize=64)
def governed(rule: str, delay: int) -> Governed:
    """A scan whose reads in flight are set by this rule, from numbers that are so many periods old."""
    return scan_control.run(rule, delay)


def ways_table() -> str:
    """The same scan by one worker and by four, in each form."""
    rows = [(name, run(params).virtual_ns / 1e6, run(params).exits, run(params).exits_per_mb, run(params).device_busy, run(params).host_cpu_ns / 1e6)
            for name, params in WAYS.items()]
    return table(rows, ("workers", "ms", "exits", "exits per MB", "device busy, %", "host CPU, ms"), title="8 MiB, searched for four words")


def counts_table() -> str:
    """What each of these has found."""
    return table([(name, *run(params).found.values()) for name, params in WAYS.items()], ("workers", *(word.decode() for word in scan.WORDS)))


def borders_table() -> str:
    """How often "license" is found, with an overlap and without, by the size of a piece."""
    rows = [(kib, *(run(ScanParams(piece_kib=kib, overlap=overlap)).found[b"license"] for overlap in (True, False))) for kib in (128, 64, 16)]
    return table(rows, ("KiB in a piece", "with overlap", "without"), title='"license", found')


def speeds(**changes: Any) -> dict[int, float]:
    """Return {workers: how many times as fast as one}."""
    return scan_scaling.speed_ups({n: run(ScanParams(workers=n, **changes)) for n in (*scan_scaling.SMALL, scan_scaling.LARGE)})


def sixteen(**changes: Any) -> float:
    """How many times as fast as one worker sixteen are."""
    return round(run(ScanParams(workers=1, **changes)).virtual_ns / run(ScanParams(workers=16, **changes)).virtual_ns, 1)


def speeds_table() -> str:
    """What was counted, and what both laws say that know it up to 8 workers."""
    counted = speeds()
    a, b = scan_scaling.fit({n: counted[n] for n in scan_scaling.SMALL})
    alone, _ = scan_scaling.fit({n: counted[n] for n in scan_scaling.SMALL}, pairs=False)
    rows = [(n, speed, scan_scaling.amdahl(n, alone), scan_scaling.universal(n, a, b)) for n, speed in counted.items()]
    return table(rows, ("workers", "times as fast", "Amdahl", "universal"), title=f"Amdahl: a = {alone:.4f}; universal: a = {a:.4f}, b = {b:.5f}")


def device_table() -> str:
    """Where the device has no more to give: said from one worker, and seen with more."""
    rows = []
    for rate in RATES:
        results = {n: run(ScanParams(workers=n, rate=rate, merge_ns=0, depth=4)) for n in (1, 4, 8, 16)}
        found = scan_scaling.speed_ups(results)
        rows.append((rate, scan_scaling.crossover(results[1]), found[4], found[8], found[16], results[16].device_busy))
    return table(rows, ("a core searches, MB/s", "workers at the end, said", "4", "8", "16", "busy with 16, %"), title="times as fast as one worker")


def slower(slow: int = 8) -> float:
    """How many times as long a scan takes in which one of four workers is so slow, and each has its own part."""
    return round(run(ScanParams(slow=slow, shared=False)).virtual_ns / run(ScanParams(shared=False)).virtual_ns, 1)


def slow_table() -> str:
    """One slow worker, and three ways to hand out the work."""
    rows: list[tuple] = [("none is slow", run(ScanParams()).virtual_ns / 1e6, 0)]
    rows += [(name, run(ScanParams(slow=8, **how)).virtual_ns / 1e6, run(ScanParams(slow=8, **how)).copies) for name, how in ANSWERS.items()]
    return table(rows, ("how", "ms", "begun twice"), title="one of four workers takes 8 times as long")


def greedy_table() -> str:
    """What the host's block layer counted of a guest that keeps eight times as many reads in flight, and of the others."""
    rows = []
    for name, how in DEFENCES.items():
        (share, took), *others = run(replace(GREEDY, **how)).of_the_disk()
        rows.append((name, share, sum(each for each, _ in others) / len(others), took, sum(us for _, us in others) / len(others),
                     run(replace(GREEDY, **how)).virtual_ns / 1e6))
    return table(rows, ("how", "guest 0 got, %", "each other, %", "its read took, us", "another's, us", "ms for all"),
                 title="reads that the disk served while all four had something to read")


def changes_table(params: ScanParams = CHANGES) -> str:
    """What the host changes, what a guest sees of it, and what was found."""
    rows = [(f"{ns / 1e6:.2f}", what) for ns, what in run(params).changes]
    return table(rows, ("ms", "what happens"), title=f"{run(params).virtual_ns / 1e6:.1f} ms; found: {', '.join(map(number, run(params).found.values()))}")


def memory_table() -> str:
    """What is read again, by how much memory there is to keep it."""
    rows = [(name, one.virtual_ns / 1e6, len(one.latencies), one.again, len(one.hits), one.added) for name, params in ROOMS.items() for one in [run(params)]]
    return table(rows, ("memory for what is read", "ms", "pieces read", "of these again", "found in memory", "pages added"), title="53 pieces, searched for two words and then for two others")


def back_table() -> str:
    """What a host gets that asks for 20 of 40 MiB, and what that costs the guest."""
    rows = [(name, one.virtual_ns / 1e6, one.memory[0][-1][1], one.given, one.again) for name, params in (("nothing", BACK), ("20 MiB", LESS)) for one in [run(params)]]
    return table(rows, ("the host asks for", "ms", "MiB at the end", "pages given", "pieces read again"), title="32 MiB, searched twice, by a guest with 40 MiB for them")


def rules_table() -> str:
    """What comes of each rule, by how old its numbers are."""
    rows = [(rule, delay * PERIOD_US, one.result.virtual_ns / 1e6, one.kept, one.period_us) for delay in (1, 4, 8)
            for rule in RULES for one in [governed(rule, delay)]]
    return table(rows, ("rule", "delay, us", "ms", "in time, %", "a swing takes, us"), title=f"target: {TARGET_US} us")


# The panel of the workers.

def _model(answer: str, **settings: Any) -> ScanResult:
    return run(ScanParams(kib=SEARCHED_KIB, **settings, **ANSWERS[answer]))


def _view(result: ScanResult) -> Shown:
    params, found = result.params, result.found
    text = "\n".join([
        f"{params.workers} worker{'s' * (params.workers > 1)}, reads of {params.piece_kib} KiB", "",
        f"ms until all is searched {number(result.virtual_ns / 1e6):>8}", f"MB searched in a second  {number(result.mb_per_s):>8}",
        f"exits                    {number(result.exits):>8}", f"exits for each MB        {number(result.exits_per_mb):>8}",
        f"device busy, %           {number(result.device_busy):>8}", f"ms of the host's cores   {number(result.host_cpu_ns / 1e6):>8}",
        f"pieces begun twice       {number(result.copies):>8}", "", "found", *(f"  {word.decode():<22} {number(count):>8}" for word, count in found.items())])
    ends = {}
    for n in range(params.workers):
        own = [until / 1e6 for worker, _, until in result.spans if worker == n]
        ends[f"worker {n} ({len(own)})"] = max(own, default=0.0)
    return text, [charts.bars("Until when each worker searched (and how many pieces)", ends, "ms")]


def _idle(workers: int, **settings: Any) -> dict[str, str]:
    """A single worker has nobody to share with."""
    return {"answer": "one worker has it all"} if workers == 1 else {}


def panel() -> Panel:
    """Who searches, how fast, and how the work is handed out."""
    return Panel(_model, [
        declared(ScanParams, "workers", "Workers", 4, high=8),
        declared(ScanParams, "depth", "Reads ahead", high=8),
        declared(ScanParams, "rate", "MB/s of a core", 256, low=64, high=4096),
        declared(ScanParams, "slow", "Worker 0 slower by", 8, high=12),
        choice("answer", ANSWERS, "own parts", label="Work is in")], _view, name="scan_in_parallel", idle=_idle)


# The panel of what changes while it runs.

def _changed(what: str, memory: int, later: int, when: int) -> ScanResult:
    change = OTHERS[what]
    params = AGAIN if what == "functions" else replace(MEMORY, memory=memory)
    if what == "functions":
        params = replace(params, kind="guests")
    return run(params if change is None else replace(params, changes=((when * 1000, change[0], later if what == "memory" else change[1]),)))


def _changed_view(result: ScanResult) -> Shown:
    params, read = result.params, [at for at, _ in result.latencies]
    told = [line for ns, what in result.changes for line in wrap(f"{ns / 1e6:5.2f}  {what}", 38, subsequent_indent=" " * 7)]
    text = "\n".join([
        f"{params.workers} {'guests' if params.kind == 'guests' else 'vCPUs'}, {params.passes} passes, two words in each", "",
        f"ms until all is searched {number(result.virtual_ns / 1e6):>8}", f"pieces read              {number(len(read)):>8}",
        f"of these, read again     {number(result.again):>8}", f"pieces found in memory   {number(len(result.hits)):>8}",
        f"pages added              {number(result.added):>8}", f"exits                    {number(result.exits):>8}",
        f"device busy, %           {number(result.device_busy):>8}", "", "found " + ", ".join(map(number, result.found.values())), "", *(["   ms  what happened"] if told else []), *told])
    slices = range(1 + max(ns // 1_000_000 for ns in (*read, *result.hits)))
    each = {name: (list(slices), [sum(ns // 1_000_000 == n for ns in times) for n in slices]) for name, times in (("read", read), ("found in memory", result.hits))}
    end = result.virtual_ns / 1e6
    has = {f"guest {n}": ([*(ns / 1e6 for ns, _ in steps), end], [*(mib for _, mib in steps), steps[-1][1]]) for n, steps in enumerate(result.memory)}
    x = axes.linear("ms since the start", [end])
    most = [mib for _, row in has.values() for mib in row]
    return text, [charts.lines("Pieces in each ms", each, x, axes.linear("pieces", [count for _, row in each.values() for count in row]), step=True),
                  charts.lines("Memory for what it reads", has, x, axes.linear("MiB", most), step=True) if has else None]


def _changed_idle(what: str, memory: int, later: int, when: int) -> dict[str, str]:
    """What a change does not look at."""
    found = {}
    if what == "functions":
        found["memory"] = "a guest with an assigned function has no dynamic memory"
    if what != "memory":
        found["later"] = "memory is not what changes"
    if what == "nothing":
        found["when"] = "nothing happens then"
    elif what == "memory" and later == memory:
        found["when"] = "it is as much as before"
    elif what == "memory" and later - memory > MEMORY.spare:
        found["when"] = "the host has not so much at any time"
    return found


def changes_panel() -> Panel:
    """What the host changes while four workers search, and how much memory they have."""
    return Panel(_changed, [
        choice("what", OTHERS, "memory", label="What changes"), declared(ScanParams, "memory", "MiB at first", 2, low=2, high=8),
        slider("later", 2, 48, 2, 8, label="MiB from then on"), slider("when", 1, 6, 1, 2, label="After ms")],
        _changed_view, name="scan_in_parallel_changes", idle=_changed_idle)


# The panel of the rules.

def _rule_view(one: Governed) -> Shown:
    us, took, depth = ([step[at] for step in one.steps] for at in range(3))
    period = one.period_us
    text = "\n".join([
        f"rule: {one.rule}", f"target: {TARGET_US} us for a read", "",
        f"ms until all is searched {number(one.result.virtual_ns / 1e6):>8}", f"reads in time, %         {number(one.kept):>8}",
        f"us, the slowest {PERIOD_US} us   {number(one.slowest_us):>8}", f"reads in flight, least   {min(depth):>8}", f"reads in flight, most    {max(depth):>8}",
        f"times it turned upwards  {len(one.swings):>8}", f"us from turn to turn     {number(period) if period else '-':>8}"])
    x = axes.linear("us since the start", us)
    limits = {"target": TARGET_US}
    return text, [charts.lines("Reads in flight", {one.rule: (us, depth)}, x, axes.linear("reads of a worker", (), top=MOST + 4), step=True),
                  charts.lines("How long reads took", {one.rule: (us, took)}, x, axes.linear("us, on average", [*took, 2 * TARGET_US]), step=True, limits=limits)]


def _rules_idle(rule: str, delay: int) -> dict[str, str]:
    """Who does nothing needs no numbers."""
    return {"delay": "static looks at no numbers"} if rule == "static" else {}


def rules_panel() -> Panel:
    """Which rule sets the reads in flight, and how old what it sees is."""
    return Panel(governed, [choice("rule", RULES, "hasty", label="Rule"),
                            slider("delay", 0, 8, 1, scan_control.DELAY, label="Delay, in looks")], _rule_view, name="scan_in_parallel_rules", idle=_rules_idle)

