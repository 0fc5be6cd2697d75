from vmio import serving
from vmio.lab import Wrong, a_whole_number, attempted, expect_at_most, varied

TENANTS, COUNT = 3, 200
KNOWN = 64, 15              # images, and us that a good rule leaves for waking up and for the call


def served(rate, images, wait_us):
    """The machine's answer."""
    return serving.run(serving.ServingParams("functions", tenants=TENANTS, rate=rate, count=COUNT, batch=images, wait_us=wait_us))


def asked(rule, rate, objective_us, given):
    """A rule that can be: two whole numbers within their bounds."""
    answer = attempted(rule(rate, objective_us), given, (tuple, list), "two numbers, (images, wait_us)")
    if len(answer) != 2:
        raise Wrong(given, "two numbers, (images, wait_us)", f"{len(answer)} of them")
    images, wait_us = (a_whole_number(each, given) for each in answer)
    if not 1 <= images <= 256 or not 0 <= wait_us <= 10_000:
        raise Wrong(given, "1 to 256 images, and 0 to 10,000 us", f"{images} and {wait_us}")
    return images, wait_us


def check(rule):
    rates = varied("choose-the-batching-rule", (40_000, 150_000), range(20_000, 200_000, 5_000))
    kept = 0
    for rate in rates:
        for objective_us in (40, 90, 300):
            given = f"{rate:,} requests a second to each tenant, p99 at most {objective_us} us"
            result = served(rate, *asked(rule, rate, objective_us, given))
            expect_at_most(result.percentile(99) / 1000, objective_us, "us at p99", given, "The promise is not kept.")
            good = served(rate, KNOWN[0], objective_us - KNOWN[1])
            expect_at_most(round(result.exits_per_image, 3), round(1.1 * good.exits_per_image, 3), "exits per image", given, "The promise is kept, but it costs more exits than it must.")
            kept += 1
    return f"{kept} promises kept, each with few exits."


def cost(rule, rate=150_000, objective_us=90):
    """{rate:,} requests a second to each tenant, p99 at most {objective_us:,} us"""
    result = served(rate, *asked(rule, rate, objective_us, f"{rate:,} requests a second, {objective_us:,} us"))
    return {"exits": sum(one.exits for one in result.tenants), "calls": sum(one.calls for one in result.tenants),
            "us at p99": round(result.percentile(99) / 1000), "images answered": sum(one.images for one in result.tenants)}
