def rule(rate, objective_us):
    """Return (images, wait_us): a call begins when so many images are there, or when the first has waited so long."""
    return 64, objective_us - 15
