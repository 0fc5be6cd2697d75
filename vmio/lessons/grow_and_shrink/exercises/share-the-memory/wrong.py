def share(total, guests):
    """One round only: what a guest cut off at its target leaves over is given to nobody."""
    left = total - sum(minimum for minimum, _, _ in guests.values())
    weights = sum(weight for _, _, weight in guests.values())
    return {name: min(target, minimum + left * weight / weights) for name, (minimum, target, weight) in guests.items()}
