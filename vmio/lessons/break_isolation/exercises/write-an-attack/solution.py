from vmio import TranslationFault as _TranslationFault


def steal(dma, limit):
    """The 16 bytes after b"SECRET:" in memory below `limit`, or None.  A refused read raises `_TranslationFault`."""
    tail = b""
    for address in range(0, limit, 4096):
        try:
            page = dma.read(address, 4096)
        except _TranslationFault:
            tail = b""
            continue
        window = tail + page
        at = window.find(b"SECRET:")
        if 0 <= at <= len(window) - 23:
            return window[at + 7:at + 23]
        tail = window[-32:]
    return None
