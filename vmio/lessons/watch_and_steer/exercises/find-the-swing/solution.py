def swing(limits):
    """The mean number of looks from one turn upwards to the next, or None."""
    turns, falling = [], False
    for look in range(1, len(limits)):
        if limits[look] > limits[look - 1] and falling:
            turns.append(look)
        if limits[look] != limits[look - 1]:
            falling = limits[look] < limits[look - 1]
    return (turns[-1] - turns[0]) / (len(turns) - 1) if len(turns) > 2 else None
