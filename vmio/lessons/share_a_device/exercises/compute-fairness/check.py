from random import Random

from vmio import jain
from vmio.lab import Wrong


def check(fairness):
    random = Random(4)
    cases = [([5], [1]), ([0, 0, 0], [1, 1, 1]), ([10, 30], [100, 300]), ([1, 0, 0, 0], [1, 1, 1, 1])]
    cases += [([random.randrange(1000) for _ in range(n)], [random.randrange(1, 400) for _ in range(n)])
              for n in (2, 3, 7, 20)]
    for amounts, weights in cases:
        answer = fairness(list(amounts), list(weights))
        if answer is None:
            raise NotImplementedError
        right = jain([amount / weight for amount, weight in zip(amounts, weights)])
        if abs(answer - right) > 1e-9:
            raise Wrong(f"amounts {amounts}, weights {weights}", round(right, 6), answer)
    return f"{len(cases)} shares judged."
