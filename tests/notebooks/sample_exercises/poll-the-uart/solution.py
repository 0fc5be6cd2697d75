def send(port, data):
    """Send `data` (bytes) through `port`."""
    for start in range(0, len(data), 16):
        while not port.ready():
            pass
        for byte in data[start:start + 16]:
            port.put(byte)
