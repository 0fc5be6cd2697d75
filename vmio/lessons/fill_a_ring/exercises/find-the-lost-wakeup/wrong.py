def consume(ring, handle):
    """Looks again, but before it unmasks: what comes between that look and the unmasking is lost as before."""
    ring.mask()
    while not ring.empty():
        while (record := ring.receive()) is not None:
            handle(record)
        ring.commit()
    ring.unmask()
