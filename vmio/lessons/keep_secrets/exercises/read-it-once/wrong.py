def take(shared, room):
    """Reads the length once to check it, and once more to use it."""
    if int.from_bytes(shared.read(0, 4), "little") > min(room, 4096 - 4):
        raise ValueError("too long")
    return shared.read(4, int.from_bytes(shared.read(0, 4), "little"))
