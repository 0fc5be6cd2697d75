def should_signal(old_write, new_write, read, mask):
    """Must the producer signal, now that it has published `new_write` and looked at `read` and `mask`?"""
    return mask == 0 and old_write == read
