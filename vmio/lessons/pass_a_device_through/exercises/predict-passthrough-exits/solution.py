def exits(reads, guest, delivery):
    """VM exits of `reads` reads through a passed-through NVMe disk; `guest` is "asleep", "busy" or "polling"."""
    if guest == "asleep":
        return reads                                        # HLT, and nobody to stop when the interrupt comes
    return reads if guest == "busy" and delivery == "injected" else 0
