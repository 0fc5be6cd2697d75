def count_exits(program, ram):
    """The number of VM exits of `program`, a list of tuples, in a guest with `ram` bytes."""
    exits = 0
    for name, *operands in program:
        if name == "compute":
            continue
        if name in ("load", "store"):
            exits += operands[0] + 4 > ram
        else:
            exits += 1
    return exits
