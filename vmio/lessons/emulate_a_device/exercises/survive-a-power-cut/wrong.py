def replace(disk, lba, data):
    """Flushes once, at the end: until then the pointer may be kept and the data lost, although it was written last."""
    disk.write(lba, data)
    disk.write(0, lba.to_bytes(8, "little").ljust(512, b"\0"))
    disk.flush()
