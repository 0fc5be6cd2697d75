def largest_record(write, read, size):
    """Fills the ring to its last byte: the indices are equal then, and a full ring looks empty."""
    free = size - (write - read) % size
    return free if free >= 24 else 0
