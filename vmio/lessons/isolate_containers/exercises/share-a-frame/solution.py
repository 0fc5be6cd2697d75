def sharers(load64, roots, gpa):
    """Return {frame: [names]} of the guests that have a page at `gpa`."""
    found = {}
    for name, table in roots.items():
        for shift in (39, 30, 21, 12):
            entry = load64(table + 8 * (gpa >> shift & 511))
            table = entry & 0x000F_FFFF_FFFF_F000
            if not entry & 7:
                break
            if shift == 21 and entry & 0x80:
                table += gpa & 0x1F_F000
                break
        if entry & 7:
            found.setdefault(table, []).append(name)
    return found
