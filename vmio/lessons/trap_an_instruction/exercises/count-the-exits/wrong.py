def count_exits(program, ram):
    """Counts each unit of string I/O as an exit of its own, and every memory access beyond half of the RAM."""
    exits = 0
    for name, *operands in program:
        if name in ("insb", "outsb"):
            exits += operands[1]
        elif name in ("load", "store"):
            exits += operands[0] >= ram
        elif name != "compute":
            exits += 1
    return exits
