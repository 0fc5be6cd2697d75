def at_most_exits(reads, depth):
    """An upper bound for the VM exits of `reads` reads with `depth` in flight."""
    return 2 * reads
