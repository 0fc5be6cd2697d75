def exits(way, weights, biases, images, calls):
    """Return the VM exits of loading a network and of so many images in so many calls."""
    if way == "registers":
        return -(-weights // 4) + biases + images * (16 + 10) + calls * 2 * (8 + 1 + 1 + 1)
    return (1 + calls) * (1 if way == "passthrough" else 2)
