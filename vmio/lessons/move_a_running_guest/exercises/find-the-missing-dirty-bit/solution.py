def dirty_pages(writes):
    """Return the set of page numbers that these (who, address, length) writes have made dirty."""
    return {page for _, address, length in writes for page in range(address // 4096, (address + length - 1) // 4096 + 1)}
