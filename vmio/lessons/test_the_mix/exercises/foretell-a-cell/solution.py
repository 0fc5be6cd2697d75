def verdict(drivers, offered, agreed, dma):
    """Return "passes", "falls back", "refused" or "breaks"."""
    for place, driver in enumerate(drivers):
        if driver == "StorVSC":
            comes_up = "SCSI on VMBus" in offered and agreed
        else:
            comes_up = "IDE disk" in offered
        if comes_up:
            if driver == "IDE, DMA" and not dma:
                return "breaks"
            return "falls back" if place else "passes"
    return "refused"
