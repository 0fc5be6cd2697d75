def found(word, start, end, read):
    """Reads a whole word more: one that begins exactly at the border is counted by two workers."""
    return read(start, end - start + len(word)).count(word)
