def receive(shared, room):
    """The message in `shared` if it has 1 to `room` bytes, else None."""
    length = shared.length()
    return shared.copy(length) if 1 <= length <= room else None
