from vmio import DiskParams, disk
from vmio.lab import Wrong, expect_at_most


def check(at_most_exits):
    worst = 0
    for depth in (1, 3, 8, 32):
        for batch in (1, 8, 32):
            for reads in (5, 32):
                bound = at_most_exits(reads, depth)
                if bound is None or bound is ...:
                    raise NotImplementedError
                result = disk.run(DiskParams(mode="split", bytes=4096 * reads, queue_depth=depth, batch=batch))
                given = f"{reads} reads, {depth} in flight, batches of {batch}"
                if result.exits_total > bound:
                    raise Wrong(given, f"a bound of {result.exits_total} or more", bound)
                expect_at_most(bound, 2 * reads, "exits as a bound", given=given)
                worst = max(worst, result.exits_total / reads)
    return f"The machine needed at most {worst:g} exits a read."
