from vmio import TranslationFault as _TranslationFault


def steal(dma, limit):
    """Looks at each page by itself: a secret across a border is missed."""
    for address in range(0, limit, 4096):
        try:
            page = dma.read(address, 4096)
        except _TranslationFault:
            continue
        at = page.find(b"SECRET:")
        if 0 <= at <= 4096 - 23:
            return page[at + 7:at + 23]
    return None
