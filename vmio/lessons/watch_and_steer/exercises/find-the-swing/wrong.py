def swing(limits):
    """A rest is taken for the end of a fall: a turn after it is not seen."""
    turns = [look for look in range(2, len(limits)) if limits[look] > limits[look - 1] < limits[look - 2]]
    return (turns[-1] - turns[0]) / (len(turns) - 1) if len(turns) > 2 else None
