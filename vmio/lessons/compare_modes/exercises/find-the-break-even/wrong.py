def break_even(us):
    """Doubles the latency until less than 10 % is saved: too high by up to a factor of two."""
    latency = 1
    while us("split", latency) <= 0.9 * us("emulated", latency):
        latency *= 2
    return latency
