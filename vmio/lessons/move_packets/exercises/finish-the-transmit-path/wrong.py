import struct


def transmit(cpu, at, entry, buffer, frame):
    """Forgets that the list has an end: the card runs on behind it, and what is put at its beginning again never leaves."""
    cpu.write(buffer, frame)
    cpu.write(at, struct.pack("<4I", 1 << 31, 1 << 30 | 1 << 29 | len(frame), buffer, 0))
    cpu.outl(0xC108, 0)
