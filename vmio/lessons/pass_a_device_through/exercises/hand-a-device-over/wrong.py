def hand_over(lent, give):
    """Forgets to erase the medium, so the host refuses, and is talked round."""
    lent.take_back()
    lent.function.last_guest = None
    return give()
