def may_send(frame, own, any_address):
    """Takes a group's address for a station's where any address is allowed."""
    return any_address or frame[6:12] == own
