def gpa_range(gpa, length):
    """Counts pages by length alone: wrong as soon as the data do not start at a page."""
    first = gpa // 4096
    return length, gpa % 4096, tuple(range(first, first + (length + 4095) // 4096))
