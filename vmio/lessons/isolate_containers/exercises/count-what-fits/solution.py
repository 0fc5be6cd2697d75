def fits(free, kernel, layer, own, way):
    """Return how many containers fit into `free` pages."""
    once = {"process": kernel + layer, "scsi": 0, "vpmem": layer}[way]
    each = {"process": own, "scsi": kernel + layer + own, "vpmem": kernel + own}[way]
    return max(0, (free - once) // each)
