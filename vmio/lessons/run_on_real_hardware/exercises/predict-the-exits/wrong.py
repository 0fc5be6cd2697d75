def exits_seen(program):
    """What the processor does, not what user space sees: a string, a doorbell and CPUID are one exit each."""
    exits = 0
    for name, *operands in program:
        if name in ("load", "store"):
            address = operands[0]
            exits += not (address < 0x200000 or 0xE0000000 <= address < 0xE0001000
                          or 0x200000 <= address < 0x201000 and name == "load")
        else:
            exits += 1
    return exits
