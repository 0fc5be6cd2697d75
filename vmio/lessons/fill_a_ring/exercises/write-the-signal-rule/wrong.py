def should_signal(old_write, new_write, read, mask):
    """Signals whenever there is something to read: nothing is lost, but most of the signals wake nobody."""
    return mask == 0 and new_write != read
