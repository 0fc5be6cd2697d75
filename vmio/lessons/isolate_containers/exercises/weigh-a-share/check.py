from vmio.lab import attempted, expect, seeded


def weight(shares):
    """The nearest of 1 to 9, a half goes up: in whole numbers."""
    return max(1, (2 * 9 * shares + 10_000) // 20_000)


def check(divide):
    random, hosts = seeded(16), [[10_000], [7_500, 2_500], [1, 500], [1, 555, 556], [9_500, 10_000], [5_000, 5_000], [1] * 4 + [10_000]]
    hosts += [[random.randint(1, 10_000) for _ in range(random.randint(2, 8))] for _ in range(20)]
    for shares in hosts:
        given = f"shares {shares}"
        got = attempted(divide(list(shares)), given, (list, tuple), "a list")
        expect(len(got), len(shares), f"the length of the list, {given}")
        weights = [weight(each) for each in shares]
        for at, each in enumerate(got):
            per_cent = attempted(each, given, (int, float), "numbers")
            expect(round(per_cent, 6), round(100 * weights[at] / sum(weights), 6), given=f"{given}, container {at}")
    return f"{len(hosts)} hosts divided, by weights of 1 to 9."
