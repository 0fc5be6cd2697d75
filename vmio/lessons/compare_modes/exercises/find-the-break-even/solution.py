def break_even(us):
    """The smallest latency (us) at which splitting saves less than 10 %; `us("split", 75)` runs and returns us per read."""
    low, high = 1, 4096
    while low < high:
        middle = (low + high) // 2
        if us("split", middle) > 0.9 * us("emulated", middle):
            high = middle
        else:
            low = middle + 1
    return low
