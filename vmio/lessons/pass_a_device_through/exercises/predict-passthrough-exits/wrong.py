def exits(reads, guest, delivery):
    """Counts the end of an injected interrupt, which a virtualized APIC keeps to itself."""
    if guest == "polling":
        return 0
    return reads * ((guest == "asleep") + (delivery == "injected"))
