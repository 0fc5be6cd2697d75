def lasts(credits, base, most, demand):
    """Forgets that the bucket is refilled while it is emptied."""
    return credits / min(demand, most) if demand > base else float("inf")
