import struct


def read_record(ring, index):
    """(kind, transaction id, payload, next index) of the record at `index` in `ring` (bytes)."""
    straight = ring[index:] + ring[:index]
    kind, offset8, length8, _, transaction_id = struct.unpack_from("<HHHHQ", straight)
    payload = straight[offset8 * 8:length8 * 8]
    return kind, transaction_id, payload, (index + length8 * 8 + 8) % len(ring)
