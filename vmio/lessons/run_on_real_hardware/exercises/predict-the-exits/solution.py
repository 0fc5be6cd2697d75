def exits_seen(program):
    """Exits to user space that `program`, a list of tuples, causes under KVM."""
    size, exits = {"b": 1, "w": 2, "l": 4}, 0
    for name, *operands in program:
        if name == "cpuid" or (name, *operands) in (("outb", 0x84), ("store", 0xFEB01000)):
            continue
        address = operands[0]
        if name in ("load", "store"):
            ram, bar = address < 0x200000, 0xE0000000 <= address < 0xE0001000
            rom = 0x200000 <= address < 0x201000
            exits += not (ram or bar or rom and name == "load")
        elif name[:4] == "outs":
            exits += operands[1]
        elif name[:3] == "ins":
            exits += -(-operands[1] * size[name[-1]] // 1024)
        else:
            exits += 1
    return exits
