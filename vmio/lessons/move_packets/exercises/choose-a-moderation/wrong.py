def choose(trial, limit_us):
    """Takes the time that is set for the time that a frame waits."""
    best, fewest = None, None
    for frames in (0, 2, 3, 4, 6):
        for us in (80, 160, 240):
            interrupts, _ = trial(frames, us)
            if us <= limit_us and (best is None or interrupts < fewest):
                best, fewest = (frames, us), interrupts
    return best
