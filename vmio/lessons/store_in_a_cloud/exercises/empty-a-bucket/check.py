from math import inf

from vmio.lab import Wrong, a_number, seeded


def check(lasts):
    random = seeded(92)
    cases = [(5_400_000, 300, 3000, 3000), (5_400_000, 300, 3000, 9000), (5_400_000, 3000, 3000, 9000), (100, 10, 50, 10), (0, 10, 50, 20)]
    cases += [(random.randrange(1000, 6_000_000), base, base * random.randrange(2, 20), base * random.randrange(1, 30))
              for base in (random.randrange(10, 3000) for _ in range(6))]
    for credits, base, most, demand in cases:
        given = f"credits {credits:,}, base {base}, most {most}, demand {demand}"
        answer = a_number(lasts(credits, base, most, demand), given=given)
        lost = min(demand, most) - base
        wanted = credits / lost if lost > 0 else inf
        if answer != wanted and not abs(answer - wanted) <= 1e-6 * max(wanted, 1):
            raise Wrong(given, wanted, answer)
    return f"{len(cases)} buckets emptied."
