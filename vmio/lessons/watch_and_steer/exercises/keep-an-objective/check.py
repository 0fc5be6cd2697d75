from vmio.lab import Wrong, a_number, attempted, expect_at_most, seeded
from vmio.lessons.watch_and_steer.panel import run_own

KEPT, MOVED, BUDGET = 80, 1150, 12


def check(controller):
    random = seeded(37)

    def asked(limit, took, target):
        given = f"limit {limit:g}, took {took:.1f}, target {target}"
        return a_number(attempted(controller(limit, took, target), given), given)
    asked(1000.0, 100.0, 150)
    results = []
    for target in (150, 200, 150, 200):
        one = run_own(asked, target, seed=random.randrange(1, 1000), budget=BUDGET)
        given = f"a target of {target} us"
        if one.off:
            raise Wrong(given, f"at most {BUDGET} changes, and numbers", one.off)
        if one.kept < KEPT:
            raise Wrong(given, f"kept in {KEPT} of 100 looks or more", f"{one.kept:.0f}")
        if one.moved < MOVED:
            raise Wrong(given, f"the bully moves {MOVED:,} MB/s or more", f"{one.moved:,.0f}")
        expect_at_most(one.changes, BUDGET, "changes", given)
        results.append(one)
    return f"{len(results)} runs: kept in {min(one.kept for one in results):.0f} of 100 looks or more, with at most {max(one.changes for one in results)} changes."
