def pick(waiting, served, weights):
    """The guest whose request goes next; `waiting` {guest: bytes}, `served` {guest: bytes}, `weights` {guest: weight}."""
    return min(waiting, key=lambda guest: served[guest] / weights[guest])
