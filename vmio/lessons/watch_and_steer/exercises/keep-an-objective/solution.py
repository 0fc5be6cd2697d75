def controller(limit, took, target):
    """The new limit in MB/s: nothing is changed while reads take between two thirds of the target and the target."""
    if took > target:
        return limit * 0.85
    if took < target * 2 / 3:
        return min(limit + 150, 1600)
    return limit
