def take(shared, room):
    """Return the message in a page that the host shares; ValueError for one that is too long."""
    length = int.from_bytes(shared.read(0, 4), "little")
    if length > room or length > 4096 - 4:
        raise ValueError(f"a message of {length} bytes; {min(room, 4096 - 4)} at most")
    return shared.read(4, length)
