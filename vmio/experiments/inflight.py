"""Which sectors the requests in flight touch, found in a time that does not grow with how many they are."""


class Ranges:
    """Ranges of sectors; the same range may be there several times.

    Ranges of about one size share a table of blocks that are as large as the largest of
    them, so each lies in one or two blocks, and who asks looks at few.
    """

    def __init__(self) -> None:
        self._tables: dict[int, dict[int, dict[tuple[int, int], int]]] = {}     # shift -> {first sector >> shift: {(lba, end): how often}}

    def add(self, lba: int, end: int) -> None:
        """Sectors `lba` to `end` - 1 are in use once more."""
        shift = (end - lba).bit_length()
        table = self._tables.setdefault(shift, {})
        for block in range(lba >> shift, (end - 1 >> shift) + 1):
            counts = table.setdefault(block, {})
            counts[lba, end] = counts.get((lba, end), 0) + 1

    def remove(self, lba: int, end: int) -> None:
        """Undo one `add`; KeyError if there was none."""
        shift = (end - lba).bit_length()
        table = self._tables[shift]
        for block in range(lba >> shift, (end - 1 >> shift) + 1):
            counts = table[block]
            counts[lba, end] -= 1
            if not counts[lba, end]:
                del counts[lba, end]
                if not counts:
                    del table[block]

    def meet(self, lba: int, end: int) -> bool:
        """True if any of the ranges has a sector of `lba` to `end` - 1."""
        for shift, table in self._tables.items():
            blocks = range(lba >> shift, (end - 1 >> shift) + 1)
            for block in blocks if len(blocks) < len(table) else tuple(table):
                if block in table and any(low < end and lba < high for low, high in table[block]):
                    return True
        return False
