def choose():
    """A device of one's own needs no exits; but most exits of a boot are the console's."""
    return "passthrough", False, True
