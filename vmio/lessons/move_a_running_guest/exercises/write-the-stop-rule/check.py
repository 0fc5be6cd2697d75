from vmio import cyclic, rules
from vmio.lab import Wrong, expect, one_of, varied

BANDWIDTH, LIMIT_MS, MEMORY = 32_000_000, 30, 1 << 15
LIMIT = BANDWIDTH * LIMIT_MS // 1000 // 4096
ANSWERS = ("stop", "go on", "give up")
GUESTS = {(1024, 2000), (4096, 7100), (2048, 7400), (8192, 40_000), (200, 100_000), (4096, 9000)}


def wanted(dirty, limit):
    """What the text asks for."""
    if dirty[-1] <= limit:
        return "stop"
    return "give up" if len(dirty) > 3 and dirty[-1] >= dirty[-2] >= dirty[-3] >= dirty[-4] else "go on"


def check(decide):
    moved = given_up = 0
    for pages, rate in sorted(GUESTS) + [(4096, rate) for rate in varied("write-the-stop-rule", (6000,), range(5000, 7300))]:
        said = cyclic.predict(cyclic.Guest(MEMORY, pages, rate), BANDWIDTH, rules.Qemu(LIMIT_MS), 80)
        dirty = [each.dirty for each in said.rounds]
        for count in range(1, len(dirty) + 1):
            given = f"a guest that writes into {pages:,} pages, {rate:,} a second; dirty {dirty[:count][-4:]} after {count} rounds, limit {LIMIT}"
            answer = one_of(decide(list(dirty[:count]), LIMIT), ANSWERS, given=given)
            expect(answer, wanted(dirty[:count], LIMIT), given=given)
            if answer != "go on":
                break
        moved, given_up = moved + (answer == "stop"), given_up + (answer == "give up")
    for dirty, limit in (([9, 9, 9, 9], 9), ([9, 10, 11], 8), ([9, 8, 8, 8], 5), ([7, 8, 8, 9], 5), ([5, 9, 8, 9, 9], 5)):
        given = f"dirty {dirty}, limit {limit}"
        expect(one_of(decide(list(dirty), limit), ANSWERS, given=given), wanted(dirty, limit), given=given)
    if not (moved and given_up):
        raise Wrong("all guests", "some moved and some given up", f"{moved} and {given_up}")
    return f"{moved} guests are moved, and {given_up} that would never be are given up."
