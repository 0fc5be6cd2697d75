def found(word, start, end, read):
    """How many times `word` begins in bytes `start` to `end` - 1; `read(at, length)` returns bytes of the file."""
    return read(start, end - start + len(word) - 1).count(word)
