def divide(shares):
    """Return the per cent of the processor that each container gets by its job's weight."""
    weights = [max(1, int(each * 9 / 10_000 + 0.5)) for each in shares]
    return [100 * weight / sum(weights) for weight in weights]
