def send(port, data):
    """Asks before each byte: the bytes arrive, at twice the price."""
    for byte in data:
        while not port.ready():
            pass
        port.put(byte)
