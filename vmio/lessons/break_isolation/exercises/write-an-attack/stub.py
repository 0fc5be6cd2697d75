

def steal(dma, limit):
    """The 16 bytes after b"SECRET:" in memory below `limit`, or None.  A refused read raises `_TranslationFault`."""
    ...
