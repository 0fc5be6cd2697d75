def lend(ring, pieces, id):
    """Lend a chain to the device, which may look at any time."""
    place, wrap = ring.next, ring.wrap
    first = (place, wrap, len(pieces) > 1, pieces[0][2])
    for n, (address, length, writable) in enumerate(pieces):
        ring.describe(place, address, length, id)
        if n:
            ring.hand_over(place, wrap, n < len(pieces) - 1, writable)
        place, wrap = (place + 1, wrap) if place + 1 < ring.size else (0, 1 - wrap)
    ring.hand_over(*first)
    ring.next, ring.wrap = place, wrap
