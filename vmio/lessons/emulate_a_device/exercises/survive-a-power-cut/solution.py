def replace(disk, lba, data):
    """Store `data` from sector `lba` on, then make sector 0 point there; a power cut leaves the old or the new, whole."""
    disk.write(lba, data)
    disk.flush()
    disk.write(0, lba.to_bytes(8, "little").ljust(512, b"\0"))
    disk.flush()
