from vmio.lab import Wrong, one_of, seeded


def check(pick):
    random, worst = seeded(9), 0.0
    for weights in ({"a": 100, "b": 100}, {"a": 100, "b": 300, "c": 50}, {f"g{n}": 10 + 17 * n for n in range(8)}):
        served = dict.fromkeys(weights, 0)
        waiting = {guest: random.choice((4096, 65_536)) for guest in weights}
        for _ in range(6000):
            guest = one_of(pick(dict(waiting), dict(served), dict(weights)), sorted(waiting), given="these guests wait")
            served[guest] += waiting[guest]
            waiting[guest] = random.choice((512, 4096, 16_384, 65_536))
        total, all_weights = sum(served.values()), sum(weights.values())
        for guest, weight in weights.items():
            part, wanted = served[guest] / total, weight / all_weights
            if abs(part - wanted) > 0.02 * wanted + 0.002:
                raise Wrong(f"weights {weights}, guest {guest}", f"{wanted:.3f} of the bytes", f"{part:.3f}")
            worst = max(worst, abs(part / wanted - 1))
        one_of(pick({"late": 4096}, {**served, "late": 0}, {**weights, "late": 1}), ["late"], given="only one guest waits")
    return f"Every share within {100 * worst:.1f} % of its weight."
