from vmio.lab import Wrong, attempted, one_of, seeded
from vmio.lessons.watch_and_steer.panel import CAUSES, EVIDENCE, OUTPUTS, before_and_after

PROVEN = 3                          # of the outputs that prove a cause, beside all causes
GROWS = ("small_ring", "polling")   # in a few milliseconds there may be no burst for the ring, and no time to look


def host_with(cause, random):
    """The outputs of a host in which this cause shows."""
    while True:
        before, after = before_and_after(cause, random.randrange(1, 1000))
        if cause not in GROWS:
            return before, after
        was, then = (sum(seen[EVIDENCE[cause]].values()) for seen in (before, after))
        if then > 1.5 * was:
            return before, after


def check(name_the_cause):
    random = seeded(31)
    causes = list(CAUSES)
    random.shuffle(causes)
    found, proven, lost = 0, 0, []
    for number, cause in enumerate(causes, start=1):
        given = f"host {number} of {len(causes)}"
        answer = attempted(name_the_cause(*host_with(cause, random)), given, (tuple, list), "a pair (cause, output)")
        if len(answer) != 2:
            raise Wrong(given, "a pair (cause, output)", f"{len(answer)} values")
        named, output = one_of(answer[0], CAUSES, given), one_of(answer[1], (*OUTPUTS, ""), given)
        if named != cause:
            lost.append(f"host {number}: it is not {named}")
        elif output != EVIDENCE[cause]:
            lost.append(f"host {number}: the cause is right, but {output or 'nothing'} is no proof of it")
        found, proven = found + (named == cause), proven + (named == cause and output == EVIDENCE[cause])
    points = f"{2 * found + proven} of {3 * len(causes)} points"
    if found < len(causes) or proven < PROVEN:
        raise Wrong(f"{len(causes)} hosts", f"all {len(causes)} causes, and {PROVEN} of the outputs that prove them",
                    f"{points}, causes {found}; {'; '.join(lost)}")
    return f"{points}: every cause named, each with another load."
