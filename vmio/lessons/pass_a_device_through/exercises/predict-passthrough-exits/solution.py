def exits(reads, interrupts, delivery):
    """VM exits of `reads` reads through a passed-through NVMe disk."""
    if not interrupts:
        return 0
    return reads * (2 if delivery == "injected" else 1)
