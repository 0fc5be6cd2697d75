import struct


def follow(read, size, head):
    """Takes an indirect table's descriptors one after the other, as Linux writes them, and never looks at `next` there."""
    at, pieces = head, []
    while at < size and len(pieces) < size:
        address, length, flags, following = struct.unpack("<QIHH", read(16 * at, 16))
        if flags & 4:
            rows = struct.iter_unpack("<QIHH", read(address, length))
            return [(where, count, bool(marks & 2)) for where, count, marks, _ in rows]
        pieces.append((address, length, bool(flags & 2)))
        if not flags & 1:
            return pieces
        at = following
    return None
