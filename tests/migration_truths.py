"""What the panel of a migration must show at a setting: a guest's pages one by one, written and sent, with nothing of the model's."""

from vmio.manage.migration import guests, wire

from tests.disk_truths import stack
from tests.panel_rig import Truth

PAGE, MIB, MB, MS, NS = 4096, 1 << 20, 1_000_000, 1_000_000, 1_000_000_000
MEMORY, ROUNDS, BATCH = 32_768, 30, 16
FIRST = guests.FIRST // PAGE
WORD = len(wire.page_bytes(0, 0, bytes(PAGE)))
RECORD, ROUND = wire.RECORD.size, wire.RECORD.size + wire.ROUND.size


def size(keys, own):
    """Bytes of these pages in records, those of `own` whole."""
    return sum(WORD + PAGE * (page in own) for page in keys) + -(-len(keys) // BATCH) * RECORD


def migrated(pages, rate, bandwidth, rule, limit_ms, throttled):
    """(rounds as (pages sent, ns, dirty afterwards, throttle), ns of standing still or None)."""
    own, todo, last = range(FIRST, FIRST + pages), list(range(MEMORY)), -1
    enough = bandwidth * limit_ms // 1000 // PAGE if rule == "qemu" else 0
    rounds, written, sent_bytes, percent, high, owed = [], 0, 0, 0, 0, 0
    while len(rounds) < ROUNDS:
        sent = []
        while todo and len(todo) > enough:
            sent, todo = sent + todo[:BATCH], todo[BATCH:]
        last = sent[-1] if sent else last
        ns = (size(sent, own) + ROUND) * NS // bandwidth
        writes, owed = divmod(ns * (100 - percent) * rate + owed, 100 * NS)
        dirty = {FIRST + (written + n) % pages for n in range(min(writes, pages))}
        written += writes
        both = sorted(dirty | set(todo))
        todo = [page for page in both if page > last] + [page for page in both if page <= last]
        sent_bytes += size(sent, own)
        rounds.append((len(sent), ns, len(todo), percent))
        over = {"qemu": len(todo) * PAGE <= bandwidth * limit_ms // 1000, "xen": len(todo) < 50 or len(rounds) >= 30 or sent_bytes > 3 * MEMORY * PAGE,
                "hyper-v": len(todo) < 50 or len(rounds) >= 10}[rule]
        if over:
            return rounds, size(todo, own) * NS // bandwidth
        if throttled and 2 * len(dirty) > len(sent):
            high += 1
            if high == 2:
                high, percent = 0, min(percent + 10, 99) if percent else 20
    return rounds, None


def panel(pages, rate, bandwidth, rule, downtime_ms, throttle):
    """The panel's truth."""
    rounds, still = migrated(pages, rate, bandwidth * MB, rule, downtime_ms, throttle)
    running = sum(ns for _, ns, _, _ in rounds)
    dirty, held, sent = rounds[-1][2], rounds[-1][3], sum(count for count, _, _, _ in rounds)
    limit = [downtime_ms, bandwidth * MB * downtime_ms // 1000 // PAGE] if rule == "qemu" else []
    words = [pages, pages * PAGE / MIB, rate, rate * PAGE / MB, bandwidth, bandwidth * MB // PAGE, *limit, *[held] * bool(held), len(rounds), dirty,
             *([] if still is None else [still / MS]), (running + (still or 0)) / MS, sent]
    line = {"pages": [(0, MEMORY), *((number, left) for number, (_, _, left, _) in enumerate(rounds, 1))]}
    return Truth(words, charts=[line, stack({"guest": running / MS, "waiting": (still or 0) / MS})])
