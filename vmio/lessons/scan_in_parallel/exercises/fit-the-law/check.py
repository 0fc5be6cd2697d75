from vmio.lab import Wrong, a_number, attempted, seeded


def check(fit):
    random = seeded(23)
    cases = 0
    for numbers in ((1, 2, 4, 8), (1, 2, 3), (1, 3, 5, 9, 17), (2, 6), (1, 4, 12, 32)):
        for _ in range(3):
            a, b = random.uniform(0.001, 0.2), random.uniform(0.0001, 0.02)
            speeds = {n: n / (1 + a * (n - 1) + b * n * (n - 1)) for n in numbers}
            given = "speeds " + ", ".join(f"{n}: {speed:.4f}" for n, speed in speeds.items())
            answer = attempted(fit(dict(speeds)), given, (tuple, list), "a pair (a, b)")
            if len(answer) != 2:
                raise Wrong(given, "a pair (a, b)", f"{len(answer)} values")
            for name, got, right in zip("ab", answer, (a, b)):
                if abs(a_number(got, given=given) - right) > 1e-6:
                    raise Wrong(f"{given}; {name}", f"{right:.6f}", f"{got:.6f}")
            cases += 1
    return f"{cases} curves found, each by its two numbers."
