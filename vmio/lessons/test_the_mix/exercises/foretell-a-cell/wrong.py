def verdict(drivers, offered, agreed, dma):
    """Takes it that a DMA driver on a disk without DMA is refused, and the next driver's turn comes."""
    for place, driver in enumerate(drivers):
        if driver == "StorVSC":
            fits = "SCSI on VMBus" in offered and agreed
        else:
            fits = "IDE disk" in offered and (dma or driver != "IDE, DMA")
        if fits:
            return "falls back" if place else "passes"
    return "refused"
