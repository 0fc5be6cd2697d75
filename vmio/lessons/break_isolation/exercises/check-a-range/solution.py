def allowed(byte_count, byte_offset, pages, ram_pages, transfer):
    """May the host move `transfer` bytes to or from this range of a guest with `ram_pages` pages?"""
    return (byte_count > 0 and 0 <= byte_offset < 4096
            and len(pages) >= (byte_offset + byte_count + 4095) // 4096
            and all(0 <= page < ram_pages for page in pages)
            and transfer <= byte_count)
