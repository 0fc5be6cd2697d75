def largest_record(write, read, size):
    """Bytes of the largest record that may be written now; 0 if there is none."""
    free = size - (write - read) % size
    return free - 8 if free - 8 >= 24 else 0
