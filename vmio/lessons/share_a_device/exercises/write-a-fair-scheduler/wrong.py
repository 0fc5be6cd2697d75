def pick(waiting, served, weights):
    """The heaviest first: whoever weighs less starves."""
    return max(waiting, key=lambda guest: weights[guest])
