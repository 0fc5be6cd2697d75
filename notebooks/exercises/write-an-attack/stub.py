from vmio.machine.pagetable import TranslationFault as _TranslationFault


def steal(dma, limit):
    """The 16 bytes after b"SECRET:" in memory below `limit`, or None.  A refused read raises `_TranslationFault`."""
    ...
