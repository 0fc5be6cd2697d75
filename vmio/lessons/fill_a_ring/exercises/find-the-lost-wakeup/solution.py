def consume(ring, handle):
    """Handle all records; return when it is safe to sleep."""
    while True:
        ring.mask()
        while (record := ring.receive()) is not None:
            handle(record)
        ring.commit()
        ring.unmask()
        if ring.empty():
            return
