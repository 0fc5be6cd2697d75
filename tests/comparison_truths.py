"""What the panels that compare (modes, papers, attacks, guests) must show at a setting: each run made and counted once more."""

from collections import Counter
from functools import lru_cache

from vmio.attacks.catalogue import attacks, find
from vmio.attacks.split import SplitWorld
from vmio.attacks.world import AFTER, BUFFER, CANARY, ROUNDS
from vmio.experiments import compare, compare_sweep, papers, sharing, trace
from vmio.experiments.compare import MODES
from vmio.experiments.disk import pattern
from vmio.experiments.sharing import SharedGuest, SharingParams
from vmio.hypervisor.costs import CostModel

from tests.counting_rig import DiskSeen
from tests.disk_truths import digits
from tests.panel_rig import ANY, Truth

MIB = 1 << 20


def percentile(values, part):
    """The least of `values` that so many per cent don't exceed."""
    ordered = sorted(values)
    return next(value for at, value in enumerate(ordered, 1) if 100 * at >= part * len(ordered))


@lru_cache(maxsize=None)
def run(params, requests):
    return DiskSeen(params, requests, pattern(32))


def three(same, transfer, **settings):
    return {mode: run(compare.params_of(mode, transfer, **settings), same) for mode in MODES}


def us(seen):
    return seen.ns / seen.served / 1000


def share(before, after):
    return 100 * (before - after) / before


def modes(workload, transfer, block, reads, queue_depth, iommu, delivery, costs):
    same = compare.requests(workload, transfer, block, reads)
    by_mode = three(same, transfer, queue_depth=queue_depth, iommu=iommu, delivery=delivery, costs=costs)
    ops, sectors = Counter(one.op for one in same), sum(one.sectors for one in same)
    moved = 512 * sum(one.sectors for one in same if one.op in "RW")
    about = [len(same), sectors / 2, *([block, reads] if workload == "mix" else [ops["R"], ops["W"], ops["F"]]), queue_depth, 1]
    ones = by_mode.values()
    rows = [[one.exits / one.served for one in ones], [one.interrupts / one.served for one in ones], list(map(us, ones)),
            [one.host_cpu_ns / one.served / 1000 for one in ones],
            *([percentile(one.latencies, part) / 1000 for one in ones] for part in (50, 99)),
            [1000 / us(one) for one in ones], [moved / MIB / (one.ns / 1e9) for one in ones]]
    parts = {mode: {part: spent / one.served for part, spent in one.five.items()} for mode, one in by_mode.items()}
    words = [100 * max(five.values()) / sum(five.values()) for five in parts.values()]
    for mode, other in zip(MODES, MODES[1:]):
        percent = abs(share(us(by_mode[mode]), us(by_mode[other])))
        words += [percent] * (percent >= 0.5)
    ends = []
    for mode, one in by_mode.items():
        ordered = sorted(ns / 1000 for ns in one.latencies)
        ends.append((mode, [(ANY, 0), *((at, 100 * n / len(ordered)) for n, at in enumerate(ordered, 1)), (ANY, 100)]))
    return Truth([*about, *digits(costs), *(number for row in rows for number in row), *words],
                 charts=[{(mode, part): value for mode, five in parts.items() for part, value in five.items()}, dict(ends)],
                 totals={0: sum(one.all_us / one.served for one in ones)})


def break_even(against, transfer, queue_depth, iommu, delivery, costs, steps):
    """At the `steps` that are counted so far."""
    settings = dict(queue_depth=queue_depth, iommu=iommu, delivery=delivery, transfer=transfer)
    asked, points = dict(settings), {}
    for x in steps:
        block, prices = (int(1024 * x) if against == "size" else 4096), CostModel.preset(costs)
        if against == "device":
            prices = prices.with_(disk_read_ns=1000 * x)
        elif against == "exits":
            prices = prices.with_(**{name: round(getattr(prices, name) * x) for name in compare_sweep.EXIT_TERMS})
        elif against == "cores":
            settings.update(guests=4, queue_depth=8, host_cores=x)
        count = max(1, min(max(16, 2 * settings["queue_depth"]), compare.MAX_BYTES[transfer] // block))
        same = tuple(trace.mixed(count, block))
        points[x] = [us(one) for one in three(same, costs=prices, **settings).values()]
    whole = len(steps) == len(compare_sweep.STEPS[against])
    words = [4, 8, asked["queue_depth"]] if against == "cores" else [1, asked["queue_depth"], 1]
    saved = {mode: [(x, round(share(point[at], point[at + 1]), 1)) for x, point in points.items()] for at, mode in enumerate(MODES[1:])}
    said = [10, 10] if whole else [len(steps), len(compare_sweep.STEPS[against])]     # the whole: "10 % or more everywhere", twice
    assert not whole or all(saves >= 10 for _, saves in saved["split"]) and all(saves < 10 for _, saves in saved["passthrough"])
    return Truth([*words, *digits(costs), *(number for x, point in points.items() for number in (x, *point)), *said],
                 charts=[{mode: [(x, point[at]) for x, point in points.items()] for at, mode in enumerate(MODES)}, saved])


def _ratio(model, paper):
    """To the nearest of what the paper allows, one figure or a range."""
    low, high = paper if isinstance(paper, tuple) else (paper, paper)
    nearest = min(max(model, low), high)
    return 1.0 if model == nearest else model / nearest


def ratios(fitted):
    words, groups = [], {}
    for at, name in enumerate(papers.ALL):
        rows = [row for row in papers.run(name).rows if fitted or row.use != "fit"]
        ratios = [_ratio(row.model, row.paper) for row in rows]
        words += [min(ratios), max(ratios), sum(row.agrees for row in rows), len(rows)]
        for row, ratio in zip(rows, ratios):
            kind = "fitted" if row.use == "fit" else "agrees" if row.agrees else "off"
            groups.setdefault(kind, []).append((min(max(ratio, 0.4), 2.5), at))
    return Truth(words, charts=[{kind: sorted(points) for kind, points in groups.items()}])


def attack(id, without):
    one = find(id)
    outcome = one.run(without != "its defence", without != "the IOMMU")
    asked, slow = ROUNDS + AFTER, outcome.slowdown
    late = [round(slow) for place in outcome.touched if (place.what, place.how) == ("requests", "late")]
    return Truth([*digits(id), *digits(one.title), *digits(outcome.evidence), outcome.answered, asked, *[slow] * (slow not in (None, 1)),
                  *digits(one.defence)], on_map=[*late, *(late or (outcome.answered, asked))],
                 harmed={(place.whose, place.what) for place in outcome.touched})


@lru_cache(maxsize=None)
def _touched(id, without):
    """The places that an attack touches, in a run of its own."""
    return {one[:2] for one in find(id).run(without != "its defence", without != "the IOMMU").touched}


def reach(without, place):
    """How many attacks aim at a place, how many get there, how many there are, and how many of these get anywhere."""
    whose, _, what = place.replace("host itself", "host's itself").partition("'s ")
    aims = [id for id in attacks() if (whose, what) in _touched(id, "its defence") | _touched(id, without)]
    return Truth([len(aims), sum((whose, what) in _touched(id, without) for id in aims), len(attacks()),
                  sum(bool(_touched(id, without)) for id in attacks())])


def double_fetch(copy_first):
    """What the host has checked and what it has used: the guest's own page, and the neighbour's unless the host copies first."""
    world = SplitWorld()
    own, foreign = BUFFER >> 12, world.neighbour.ram_spa(CANARY) - world.attacker.ram_spa(0) >> 12
    return Truth([own, own if copy_first else foreign])


def _ended(params, policy):
    """{guest: [(ns at its end, ns that it took), ...]} of a run."""
    run = sharing._Run(params.check(), policy)
    run.host.env.run(until=run.began + params.duration_ns)
    return {loop.guest.name: [(end - run.began, took) for end, took in zip(loop.ends, loop.latencies)] for loop in run.loops}


def _within(ended, low, high):
    """Ns of each that ended from `low` to `high` ms."""
    return [took for end, took in ended if low * 1e6 <= end < high * 1e6]


def _us(took):
    """The mean, as precisely as a panel has it."""
    return round(sum(took) / max(len(took), 1) / 1000, 1)


def _lines(groups, size, buckets, ms):
    """The lines of both charts: MiB/s of each guest, mean ms where anything ended; `groups` {name: [what each guest's requests took]}."""
    rates, latency = {}, {}
    for name, guests in groups.items():
        for n in range(buckets):
            low, high, middle = n * ms, (n + 1) * ms, round((n + 0.5) * ms, 2)
            took = [one for ended in guests for one in _within(ended, low, high + 1e-9 * (n == buckets - 1))]
            rates.setdefault(name, []).append((middle, len(took) * size[name] / MIB / (ms / 1000) / len(guests)))
            if took:
                latency.setdefault(name, []).append((middle, _us(took) / 1000))
    return [rates, latency] if latency else [rates]


def noisy(policy, quiet, weight, reservation, cap, depth, kib):
    guests = (*(SharedGuest(f"quiet{n}", request_bytes=4096, queue_depth=1) for n in range(quiet)),
              SharedGuest("steady", weight=weight, reservation=reservation * MIB, request_bytes=256 << 10, queue_depth=8),
              SharedGuest("noisy", cap=cap * MIB or None, request_bytes=kib << 10, queue_depth=depth, start_ns=2_000_000))
    ended = _ended(SharingParams(guests, duration_ns=8_000_000, buckets=8), policy)
    groups = {"quiet": [ended[f"quiet{n}"] for n in range(quiet)], "steady": [ended["steady"]], "noisy": [ended["noisy"]]}
    size = {"quiet": 4096, "steady": 256 << 10, "noisy": kib << 10}
    words = [3, 1, 4, 8, 256, weight, reservation, depth, kib, *[cap] * bool(cap)]
    for name, of in groups.items():
        late = [took for ended in of for took in _within(ended, 3, 8)]
        worst = max(took for ended in of for _, took in ended)
        words += [len(of), len(late) * size[name] / MIB / 0.005 / len(of), _us(late) / 1000, worst / 1e6]
    alone, beside = ([took for ended in groups["quiet"] for took in _within(ended, *span)] for span in ((0, 2), (3, 8)))
    return Truth([*words, _us(beside) / _us(alone)], charts=_lines(groups, size, 8, 1))


def live(policy, weight, cap, reservation):
    guests = tuple(SharedGuest(name, request_bytes=128 << 10, queue_depth=16) for name in "abc")
    changes = ((5_000_000, "a", {"weight": weight}), (10_000_000, "b", {"cap": cap * MIB or None}),
               (15_000_000, "c", {"reservation": reservation * MIB}))
    ended = _ended(SharingParams(guests, changes=changes), policy)
    said, words = ([], [weight], [cap] * bool(cap), [reservation]), [16, 128]
    for n in range(4):
        mean = [len(_within(ended[name], 5 * n + 0.5, 5 * n + 5)) / 8 / 0.0045 for name in "abc"]
        words += [5 * n, *said[n], *map(round, mean)]
    return Truth([*words, sum(map(len, ended.values()))],
                 charts=_lines({name: [ended[name]] for name in "abc"}, dict.fromkeys("abc", 128 << 10), 40, 0.5))
