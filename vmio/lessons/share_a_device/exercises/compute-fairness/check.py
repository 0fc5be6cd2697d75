from vmio import jain
from vmio.lab import Wrong, a_number, seeded


def check(fairness):
    random = seeded(4)
    cases = [([5], [1]), ([0, 0, 0], [1, 1, 1]), ([10, 30], [100, 300]), ([1, 0, 0, 0], [1, 1, 1, 1])]
    cases += [([random.randrange(1000) for _ in range(n)], [random.randrange(1, 400) for _ in range(n)])
              for n in (2, 3, 7, 20)]
    for amounts, weights in cases:
        given = f"amounts {amounts}, weights {weights}"
        answer = a_number(fairness(list(amounts), list(weights)), given=given)
        right = jain([amount / weight for amount, weight in zip(amounts, weights)])
        if abs(answer - right) > 1e-9:
            raise Wrong(given, round(right, 6), answer)
    return f"{len(cases)} shares judged."
