def may_send(frame, own, any_address):
    """May a guest whose address is `own` (6 bytes) send `frame`? With `any_address` it may use others."""
    source = frame[6:12]
    if source[0] & 1:
        return False
    return any_address or source == own
