from vmio.lab import Wrong, a_number, seeded


def right(requests, window, objective):
    windows = {}
    for came, took in requests:
        windows.setdefault(came // window, []).append(took)
    good = sum(sorted(each)[-(-99 * len(each) // 100) - 1] <= objective for each in windows.values())
    return 100 * good / len(windows) if windows else 100


def check(kept):
    random = seeded(91)
    cases = [([], 100, 10), ([(5, 10), (7, 10)], 100, 10), ([(5, 10), (7, 11)], 100, 10), ([(5, 1), (7, 11)], 100, 10), ([(0, 1), (950, 50)], 100, 10),
             ([(99, 50), (100, 1)], 100, 10), ([(n, 1) for n in range(99)] + [(99, 900)], 100, 10),
             ([(n % 200, 1) for n in range(199)] + [(150, 900), (151, 900)], 200, 10)]
    for _ in range(6):
        window = random.randrange(50, 200)
        requests = [(random.randrange(2000), random.choice((3, 5, 5, 5, 40))) for _ in range(random.randrange(20, 900))]
        cases.append((requests, window, random.choice((4, 5, 39, 40))))
    for requests, window, objective in cases:
        answer = a_number(kept(list(requests), window, objective), given=f"{len(requests)} requests")
        wanted = right(requests, window, objective)
        if abs(answer - wanted) > 1e-6:
            few = str(requests) if len(requests) < 5 else f"{len(requests)} requests from {requests[:3]} on"
            raise Wrong(f"requests {few}, window {window}, objective {objective}", round(wanted, 3), answer)
    return f"{len(cases)} promises judged."
