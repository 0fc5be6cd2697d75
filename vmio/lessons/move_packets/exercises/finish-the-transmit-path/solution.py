import struct


def transmit(cpu, at, entry, buffer, frame):
    """Put `frame` where the card finds it, fill descriptor number `entry` (0 to 31) at `at`, and tell the card."""
    control = 1 << 30 | 1 << 29 | len(frame)
    if entry == 31:
        control |= 1 << 25
    cpu.write(buffer, frame)
    cpu.write(at, struct.pack("<4I", 1 << 31, control, buffer, 0))
    cpu.outl(0xC108, 0)
