def exits(reads, interrupts, delivery):
    """Counts the doorbells, which are stores to mapped memory."""
    if not interrupts:
        return 2 * reads
    return reads * (4 if delivery == "injected" else 3)
