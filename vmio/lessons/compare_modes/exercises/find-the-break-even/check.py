from vmio import CostModel, compare
from vmio.lab import a_number, expect, expect_at_most

HOSTS = (("server-2022", "DMA"), ("server-2022", "PIO strings"), ("kvm-2017", "DMA"))
READS = 16


def runner(prices, transfer):
    """(`us(mode, latency)`, a list that grows by one with each call)."""
    same, calls = compare.requests()[:READS], []

    def us(mode, latency):
        calls.append((mode, latency))
        costs = CostModel.preset(prices).with_(disk_read_ns=round(latency * 1000))
        return compare.Comparison({mode: compare.run(compare.params_of(mode, transfer, costs=costs), same)}).us(mode)
    return us, calls


def matters(us, latency):
    return us("split", latency) <= 0.9 * us("emulated", latency)


def check(break_even):
    found = []
    for host in HOSTS:
        us, calls = runner(*host)
        given = f"prices {host[0]}, emulated by {host[1]}"
        answer = a_number(break_even(us), given=given)
        expect_at_most(len(calls), 30, "calls of us", given=given, why="A search by halves needs far fewer.")
        low, high = 1, 4096
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if matters(us, middle) else (low, middle)
        expect(answer, low, given=given)
        found.append(f"{low} us")
    return f"Splitting stops mattering at {', '.join(found)}."
