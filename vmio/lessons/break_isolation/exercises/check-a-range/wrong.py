def allowed(byte_count, byte_offset, pages, ram_pages, transfer):
    """Forgets the offset: the last page is missing."""
    return (byte_count > 0 and 0 <= byte_offset < 4096
            and len(pages) >= (byte_count + 4095) // 4096
            and all(0 <= page < ram_pages for page in pages)
            and transfer <= byte_count)
