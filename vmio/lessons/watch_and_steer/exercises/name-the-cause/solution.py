def name_the_cause(before, after):
    """The pair (cause, the output that proves it)."""
    def total(seen, output):
        return sum(seen[output].values())
    if total(after, "writes that met a full ring"):
        return "small_ring", "writes that met a full ring"
    if total(after, "frames by the card"):
        return "vf_lost", "frames by the card"
    if after["KiB of the shared disk"]["batch"] > 2 * before["KiB of the shared disk"]["batch"] + 1500:
        return "noisy", "KiB of the shared disk"
    if before["interrupts of vCPU 1's channels"]["web"] and not after["interrupts of vCPU 1's channels"]["web"]:
        return "one_core", "interrupts of vCPU 1's channels"
    if total(after, "us that the host looked") > 1.45 * total(before, "us that the host looked"):
        return "polling", "us that the host looked"
    return "none", ""
