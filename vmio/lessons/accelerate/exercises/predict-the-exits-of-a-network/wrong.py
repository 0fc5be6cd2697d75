def exits(way, weights, biases, images, calls):
    """Counts a doorbell and a sleep for each image, not for each call."""
    if way == "registers":
        return -(-weights // 4) + biases + images * (16 + 10) + calls * 2 * (8 + 1 + 1 + 1)
    return (1 + images) * (1 if way == "passthrough" else 2)
