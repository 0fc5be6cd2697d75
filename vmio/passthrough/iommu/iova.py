"""I/O virtual addresses to give away: whole pages, those that came back first."""

from vmio.machine.memory import PAGE

BASE = 1 << 32      # above every guest's RAM, so that an identity map never meets them


class IovaAllocator:
    """Runs of pages from `base` up to `limit`; ValueError when there are none left."""

    def __init__(self, base: int = BASE, limit: int = 1 << 39) -> None:
        self.base, self.limit = base, limit
        self._next = base
        self._free: dict[int, list[int]] = {}     # pages -> [iova, ...]

    def take(self, pages: int) -> int:
        """Return the IOVA of `pages` pages in a row."""
        free = self._free.get(pages)
        if free:
            return free.pop(0)
        iova = self._next
        if iova + pages * PAGE > self.limit:
            raise ValueError(f"iova: {pages} pages asked, {(self.limit - iova) // PAGE} left")
        self._next = iova + pages * PAGE
        return iova

    def give(self, iova: int, pages: int) -> None:
        """Take a run back."""
        self._free.setdefault(pages, []).append(iova)
