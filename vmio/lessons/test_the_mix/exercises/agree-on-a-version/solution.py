def agree(versions, ask):
    """Return the version that both sides speak, or None."""
    for version in versions:
        agreed, said = ask(version)
        if agreed:
            return version if said == version else None
    return None
