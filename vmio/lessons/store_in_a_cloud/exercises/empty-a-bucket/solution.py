def lasts(credits, base, most, demand):
    """For how many seconds a guest that asks for `demand` requests a second gets more than `base`."""
    lost = min(demand, most) - base
    return credits / lost if lost > 0 else float("inf")
