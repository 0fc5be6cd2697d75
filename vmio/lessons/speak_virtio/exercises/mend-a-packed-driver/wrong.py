def lend(ring, pieces, id):
    """Describes all first, and hands them over in their order: the first one's flags say that the others' are there, and they are old."""
    place, wrap, places = ring.next, ring.wrap, []
    for address, length, writable in pieces:
        ring.describe(place, address, length, id)
        places.append((place, wrap))
        place, wrap = (place + 1, wrap) if place + 1 < ring.size else (0, 1 - wrap)
    for n, (at, turn) in enumerate(places):
        ring.hand_over(at, turn, n < len(pieces) - 1, pieces[n][2])
    ring.next, ring.wrap = place, wrap
