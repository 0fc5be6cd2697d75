from vmio import DiskParams, disk
from vmio.lab import Wrong, a_number, varied


def check(at_most_exits):
    worst = 0
    for depth in varied("predict-the-signals", (1, 3, 8, 32), range(1, 33)):
        for batch in (1, 8, 32):
            for reads in (5, 32):
                result = disk.run(DiskParams(mode="split", bytes=4096 * reads, queue_depth=depth, batch=batch))
                given = f"{reads} reads, {depth} in flight, batches of {batch}"
                bound = a_number(at_most_exits(reads, depth), given=given)
                if result.exits_total > bound:
                    raise Wrong(given, f"a bound of {result.exits_total} or more: so many the machine needed", bound)
                if bound > 2 * reads:
                    raise Wrong(given, f"a bound of {2 * reads} or less", bound, "It holds, and no read takes more than two.")
                worst = max(worst, result.exits_total / reads)
    return f"The machine needed at most {worst:g} exits per read."
