def decide(dirty, limit):
    """Gives up when a round leaves more than nine tenths of the one before: guests that are slow to move would have been moved."""
    if dirty[-1] <= limit:
        return "stop"
    if len(dirty) > 1 and dirty[-1] > 0.9 * dirty[-2]:
        return "give up"
    return "go on"
