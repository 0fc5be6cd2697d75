import struct


def read_record(ring, index):
    """Forgets that a record may wrap around the end of the ring."""
    kind, offset8, length8, _, transaction_id = struct.unpack("<HHHHQ", ring[index:index + 16].ljust(16, b"\0"))
    payload = ring[index + offset8 * 8:index + length8 * 8]
    return kind, transaction_id, payload, index + length8 * 8 + 8
