def controller(limit, took, target):
    """AIMD: it never rests, so its changes are soon used up."""
    return limit + 150 if took <= target else limit / 2
