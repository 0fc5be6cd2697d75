def at_most_exits(reads, depth):
    """Takes for granted that each waking brings `depth` completions; a host with a small batch proves it wrong."""
    return 2 * -(-reads // depth)
