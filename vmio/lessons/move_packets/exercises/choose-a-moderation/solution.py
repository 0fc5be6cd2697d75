def choose(trial, limit_us):
    """Return (frames, us) with the fewest interrupts of which `trial` says that 99 of 100 frames wait at most `limit_us`."""
    best, fewest = None, None
    for frames in (0, 2, 3, 4, 6):
        for us in (80, 160, 240):
            interrupts, wait_us = trial(frames, us)
            if wait_us <= limit_us and (best is None or interrupts < fewest):
                best, fewest = (frames, us), interrupts
    return best
