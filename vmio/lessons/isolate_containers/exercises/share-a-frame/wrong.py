def sharers(load64, roots, gpa):
    """Takes every entry for a small page's or a table's: of a large page it finds what lies in its first 4,096 bytes."""
    found = {}
    for name, table in roots.items():
        for shift in (39, 30, 21, 12):
            entry = load64(table + 8 * (gpa >> shift & 511))
            if not entry & 7:
                break
            table = entry & 0x000F_FFFF_FFFF_F000
        else:
            found.setdefault(table, []).append(name)
    return found
