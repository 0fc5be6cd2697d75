def receive(shared, room):
    """Checks one answer and uses the next: the double fetch."""
    if 1 <= shared.length() <= room:
        return shared.copy(shared.length())
    return None
