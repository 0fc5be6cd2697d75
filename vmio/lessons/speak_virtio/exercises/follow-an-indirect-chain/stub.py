import struct


def follow(read, size, head):
    """Return the pieces of the chain that begins with descriptor `head`; None if no honest driver makes such a chain."""
    ...
