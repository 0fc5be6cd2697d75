from vmio.lab import Wrong, attempted, one_of, seeded
from vmio.lessons.watch_and_steer.panel import CAUSES, EVIDENCE, OUTPUTS, before_and_after

NEEDED = 15


def check(name_the_cause):
    random = seeded(31)
    causes = list(CAUSES)
    random.shuffle(causes)
    points, lost = 0, []
    for number, cause in enumerate(causes, start=1):
        before, after = before_and_after(cause, random.randrange(1, 1000))
        given = f"host {number} of {len(causes)}"
        answer = attempted(name_the_cause(before, after), given, (tuple, list), "a pair (cause, output)")
        if len(answer) != 2:
            raise Wrong(given, "a pair (cause, output)", f"{len(answer)} values")
        named, output = one_of(answer[0], CAUSES, given), one_of(answer[1], (*OUTPUTS, ""), given)
        points += 2 * (named == cause) + (named == cause and output == EVIDENCE[cause])
        if named != cause or output != EVIDENCE[cause]:
            lost.append(f"host {number}: {named}, because of {output or 'nothing'}")
    if points < NEEDED or sum("because" in each for each in lost) and any(each.split(": ")[1].split(",")[0] not in causes for each in lost):
        raise Wrong(f"{len(causes)} hosts", f"{NEEDED} of {3 * len(causes)} points, all causes among them", f"{points}; not right: {'; '.join(lost)}")
    return f"{points} of {3 * len(causes)} points: every cause named, each with another load."
