"""The end of what a guest has sent: a guest may send for ever."""

from typing import SupportsIndex

MAX_BYTES = 1 << 20   # bytes that are kept for certain


class Tail(bytearray):
    """A bytearray that forgets its oldest half when it has twice `MAX_BYTES` bytes."""

    def append(self, byte: SupportsIndex) -> None:
        """One more byte."""
        super().append(byte)
        if len(self) >= 2 * MAX_BYTES:
            del self[:MAX_BYTES]
