"""The guest's own choice of memory for its drivers: the simplest allocator there is."""

PAGE = 4096


class GuestPages:
    """Hands out guest-physical pages from `first` up to `end` (addresses, multiples of 4,096); nothing comes back."""

    def __init__(self, first: int, end: int) -> None:
        if first % PAGE or end % PAGE or not 0 <= first < end:
            raise ValueError(f"guest pages {first:#x} to {end:#x}: multiples of {PAGE}, first below end")
        self.next, self.end = first, end

    def take(self, pages: int = 1) -> int:
        """Return the address of `pages` pages in a row."""
        at = self.next
        if pages < 1 or at + pages * PAGE > self.end:
            raise ValueError(f"{pages} pages asked, {(self.end - at) // PAGE} are left")
        self.next += pages * PAGE
        return at
