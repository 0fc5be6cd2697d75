"""The end of what a guest has sent: a guest may send for ever."""

MOST = 1 << 20   # bytes that are kept for certain


class Tail(bytearray):
    """A bytearray that forgets its oldest half when it has twice `MOST` bytes."""

    def append(self, byte):
        """One more byte."""
        super().append(byte)
        if len(self) >= 2 * MOST:
            del self[:MOST]
