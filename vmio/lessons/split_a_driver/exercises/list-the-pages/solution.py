def gpa_range(gpa, length):
    """(byte count, offset in the first page, page numbers) of `length` bytes at `gpa`."""
    return length, gpa % 4096, tuple(range(gpa // 4096, (gpa + length - 1) // 4096 + 1))
