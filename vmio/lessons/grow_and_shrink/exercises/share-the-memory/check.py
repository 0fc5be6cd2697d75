from vmio.lab import Wrong, a_number, attempted, seeded


def level(total, guests):
    """Return what everybody gets when water has risen so high in all glasses that `total` is used up, or all are full."""
    low, high = 0.0, float(total)
    for _ in range(80):
        middle = (low + high) / 2
        used = sum(min(target, minimum + middle * weight) for minimum, target, weight in guests.values())
        low, high = (middle, high) if used <= total else (low, middle)
    return {name: min(target, minimum + low * weight) for name, (minimum, target, weight) in guests.items()}


def check(share):
    random = seeded(14)
    cases = [(30, {"web": (10, 14, 50), "batch": (5, 40, 50)}), (20, {"one": (5, 9, 1)}), (40, {"a": (10, 10, 3), "b": (10, 100, 1), "c": (10, 12, 1)})]
    for count in (2, 3, 5, 9):
        guests = {}
        for n in range(count):
            minimum = random.randrange(1, 60)
            guests[f"g{n}"] = minimum, minimum + random.choice((0, random.randrange(40), random.randrange(200))), random.randrange(1, 101)
        for spare in (0, 37, 60 * count, 1000 * count):
            cases.append((sum(minimum for minimum, _, _ in guests.values()) + spare, guests))
    for total, guests in cases:
        given = f"{total} pieces, guests {guests}"
        answer = attempted(share(total, dict(guests)), given, dict, "a dictionary of the guests")
        right = level(total, guests)
        if set(answer) != set(guests):
            raise Wrong(given, f"the guests {', '.join(guests)}", ", ".join(map(str, answer)))
        for name in guests:
            got = a_number(answer[name], given=given)
            if abs(got - right[name]) > 1:
                raise Wrong(f"{given}, {name}", f"{right[name]:.1f} pieces, up to one", f"{got:.1f}")
        if sum(answer.values()) > total + 1e-6:
            raise Wrong(given, f"{total} pieces in all", f"{sum(answer.values()):g}")
    return f"{len(cases)} hosts shared out, and nobody below the minimum."
