def polled(accesses):
    """The port that was read most often in a row."""
    best, most, last, row = None, 0, None, 0
    for access in accesses:
        row = row + 1 if access == last else 1
        last = access
        if access[0] == "IN" and row > most:
            best, most = access[1], row
    return best
