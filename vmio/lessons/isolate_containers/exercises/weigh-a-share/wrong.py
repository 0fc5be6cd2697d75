def divide(shares):
    """Divides by the shares as they are: right where the virtual machine has the weight, not for a job."""
    return [100 * each / sum(shares) for each in shares]
