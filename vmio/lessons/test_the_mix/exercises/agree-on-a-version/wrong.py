def agree(versions, ask):
    """Believes the host: what it says it has agreed on is taken, whatever was asked for."""
    for version in versions:
        agreed, said = ask(version)
        if agreed:
            return said
    return None
