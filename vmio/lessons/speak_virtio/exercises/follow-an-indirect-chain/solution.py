import struct


def follow(read, size, head):
    """Return the pieces of the chain that begins with descriptor `head`; None if no honest driver makes such a chain."""
    table, at, pieces, steps = 0, head, [], 0
    while at < size and steps <= size:
        address, length, flags, following = struct.unpack("<QIHH", read(table + 16 * at, 16))
        steps += 1
        if flags & 4:
            if table or length % 16:
                return None
            table, size, at, steps = address, length // 16, 0, 0
            continue
        pieces.append((address, length, bool(flags & 2)))
        if len(pieces) > size:
            return None
        if not flags & 1:
            return pieces
        at = following
    return None
