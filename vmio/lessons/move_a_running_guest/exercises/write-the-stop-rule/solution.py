def decide(dirty, limit):
    """Return "stop", "go on" or "give up", from the pages that were dirty after each round, and those that fit into the limit."""
    if dirty[-1] <= limit:
        return "stop"
    last = dirty[-4:]
    if len(last) == 4 and all(after >= before for before, after in zip(last, last[1:])):
        return "give up"
    return "go on"
