def hand_over(lent, give):
    """Move the device of the assignment `lent` to the guest that `give()` gives it to."""
    lent.take_back()
    lent.function.erase()
    return give()
