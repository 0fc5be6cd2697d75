def dirty_pages(writes):
    """Hears of everybody, but marks only the page in which a write begins."""
    return {address // 4096 for _, address, _ in writes}
