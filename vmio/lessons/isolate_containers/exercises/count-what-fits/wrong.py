def fits(free, kernel, layer, own, way):
    """Gives each kernel a copy of the layer, whichever way it comes."""
    if way == "process":
        return max(0, (free - kernel - layer) // own)
    return free // (kernel + layer + own)
