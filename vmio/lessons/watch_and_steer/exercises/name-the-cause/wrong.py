def name_the_cause(before, after):
    """Who waits longest is to blame: the victim is taken for the cause."""
    if after["us of a request"]["db"] > 2 * before["us of a request"]["db"]:
        return "small_ring", "us of a request"
    if after["us of a request"]["web"] > 2 * before["us of a request"]["web"]:
        return "noisy", "us of a request"
    return "none", ""
