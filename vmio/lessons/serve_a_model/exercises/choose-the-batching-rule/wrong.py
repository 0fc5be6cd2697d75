def rule(rate, objective_us):
    """Forgets that waking up and the call itself take time, too."""
    return 64, objective_us
