"""The guest's own choice of memory for its drivers: the simplest allocator there is."""

PAGE = 4096


class GuestPages:
    """Hands out guest-physical pages from `first` up to `end` (addresses, multiples of 4,096).

    What is given back is handed out again to who asks for as many pages in a row.
    """

    def __init__(self, first: int, end: int) -> None:
        if first % PAGE or end % PAGE or not 0 <= first < end:
            raise ValueError(f"guest pages {first:#x} to {end:#x}: multiples of {PAGE}, first below end")
        self.next, self.end = first, end
        self._back: dict[int, list[int]] = {}        # number of pages -> where so many have been given back

    def take(self, pages: int = 1) -> int:
        """Return the address of `pages` pages in a row."""
        back = self._back.get(pages)
        if back:
            return back.pop()
        at = self.next
        if pages < 1 or at + pages * PAGE > self.end:
            raise ValueError(f"{pages} pages asked, {(self.end - at) // PAGE} are left")
        self.next += pages * PAGE
        return at

    def give_back(self, at: int, pages: int = 1) -> None:
        """Take back what `take` has returned."""
        self._back.setdefault(pages, []).append(at)
